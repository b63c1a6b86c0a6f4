"""Models that somebody already has, as versions: ``.onnx`` as it is, ``.skops`` converted and verified, a sentence
model's ``.zip`` verified."""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version as package_version
from pathlib import Path

from aimass.core.batch import Array
from aimass.core.clock import Clock
from aimass.core.errors import Invalid
from aimass.core.ids import AccountId, Digest, check_name
from aimass.core.signature import Signature
from aimass.database.engine import Database
from aimass.registry.manifest import Lineage, Manifest
from aimass.registry.onnx_file import inspect_onnx
from aimass.registry.profiler import profile
from aimass.registry.sentence_file import open_archive
from aimass.registry.skops_file import convert_skops
from aimass.registry.versions import Version, register
from aimass.runtimes.onnx import MODEL_FILE
from aimass.runtimes.text.files import FILES
from aimass.storage.base import ArtifactStore

ONNX, SENTENCE = "onnx", "sentence"


@dataclass(frozen=True)
class Submission:
    """A file to become the next version of ``name``; ``rows``: held-out FP64 ones to prove a conversion on."""

    name: str
    path: Path
    description: str = ""
    rows: Array | None = None


def submit_file(
    database: Database, store: ArtifactStore, submission: Submission, account: AccountId, clock: Clock
) -> Version:
    """Check, convert, profile, then register in one short transaction; nothing is kept of a file that is refused."""
    check_name(submission.name, "model", "name")
    try:
        prepared = prepare(submission)
    except Invalid as error:
        raise Invalid(str(error), error.field or "file") from error
    return store_version(database, store, submission.name, prepared, (account, clock))


@dataclass(frozen=True)
class Prepared:
    """All that registering needs: the bytes of each file and the manifest that names them."""

    files: Mapping[str, bytes]
    manifest: Manifest


def store_version(
    database: Database, store: ArtifactStore, name: str, prepared: Prepared, owner: tuple[AccountId, Clock]
) -> Version:
    """The next version of ``name``, its files in the store."""
    with database.session() as session:
        for data in prepared.files.values():
            store.put(data)
        return register(session, store, name, prepared.manifest, *owner)


def prepare(submission: Submission) -> Prepared:
    """The slow part, without the database; ``Invalid`` says what is wrong with the file."""
    path = submission.path
    suffix = path.suffix.lower()
    opener = OPENERS.get(suffix)
    if opener is None:
        raise Invalid(f"{path.name}: only .onnx and .skops files can be added, and sentence models packed as .zip")
    if not path.is_file():
        raise Invalid(f"{path} does not exist")
    if suffix != ".skops" and submission.rows is not None:
        raise Invalid(f"{path.name} is taken as it is; rows to check on are for conversions of .skops", "check")
    made = opener(submission)
    return replace(made, manifest=replace(made.manifest, description=submission.description))


def prepare_folder(
    files: Mapping[str, bytes],
    signature: Signature,
    metrics: Mapping[str, float],
    lineage: Lineage,
    kind: str = "model",
) -> Prepared:
    """Files whose signature is known, profiled: as a sentence model where they have its names, else as an ONNX one."""
    runtime = SENTENCE if set(files) == set(FILES) else ONNX
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        measured = profile(Path(folder), runtime, signature)
    manifest = Manifest(
        kind=kind,
        runtime=runtime,
        files={name: Digest(hashlib.sha256(data).hexdigest()) for name, data in files.items()},
        signature=signature,
        metrics=metrics,
        lineage=lineage,
        profile=measured,
    )
    return Prepared(files, manifest)


def _from_onnx(submission: Submission) -> Prepared:
    signature = inspect_onnx(submission.path, submission.path.name)
    return prepare_folder({MODEL_FILE: submission.path.read_bytes()}, signature, {}, _made_by("onnx"))


def _from_skops(submission: Submission) -> Prepared:
    converted = convert_skops(submission.path, submission.rows)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / MODEL_FILE
        file.write_bytes(converted.model)
        signature = inspect_onnx(file, submission.path.name)
    metrics = {"conversion_max_difference": converted.max_difference, "conversion_rows": float(converted.rows)}
    lineage = _made_by("onnx", "scikit-learn", "skl2onnx", "skops")
    return prepare_folder({MODEL_FILE: converted.model}, signature, metrics, lineage, converted.kind)


def _from_archive(submission: Submission) -> Prepared:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        signature, verified, check = open_archive(submission.path, folder)
        files = {name: (folder / name).read_bytes() for name in FILES}
    metrics = {"conversion_max_difference": verified.max_difference, "conversion_rows": float(len(check.texts))}
    return prepare_folder(files, signature, metrics, Lineage(packages=check.packages))


def _made_by(*packages: str) -> Lineage:
    return Lineage(packages={name: package_version(name) for name in packages})


OPENERS = {".onnx": _from_onnx, ".skops": _from_skops, ".zip": _from_archive}
