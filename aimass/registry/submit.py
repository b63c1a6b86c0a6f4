"""Models that somebody already has, as versions: ``.onnx`` as it is, ``.skops`` converted and verified."""

import hashlib
import tempfile
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path

from aimass.core.batch import Array
from aimass.core.clock import Clock
from aimass.core.errors import Invalid
from aimass.core.ids import AccountId, Digest, check_name
from aimass.database.engine import Database
from aimass.registry.manifest import Lineage, Manifest
from aimass.registry.onnx_file import inspect_onnx
from aimass.registry.profiler import profile
from aimass.registry.skops_file import convert_skops
from aimass.registry.versions import Version, register
from aimass.runtimes.onnx import MODEL_FILE
from aimass.storage.base import ArtifactStore

SUFFIXES = (".onnx", ".skops")


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
    with database.session() as session:
        store.put(prepared.model)
        return register(session, store, submission.name, prepared.manifest, account, clock)


@dataclass(frozen=True)
class Prepared:
    """All that registering needs: the bytes of model.onnx and the manifest that names them."""

    model: bytes
    manifest: Manifest


def prepare(submission: Submission) -> Prepared:
    """The slow part, without the database; ``Invalid`` says what is wrong with the file."""
    path = submission.path
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise Invalid(f"{path.name}: only {' and '.join(SUFFIXES)} files can be added")
    if not path.is_file():
        raise Invalid(f"{path} does not exist")
    kind, metrics, packages = "model", dict[str, float](), ["onnx"]
    if suffix == ".skops":
        converted = convert_skops(path, submission.rows)
        model, kind = converted.model, converted.kind
        metrics = {"conversion_max_difference": converted.max_difference, "conversion_rows": float(converted.rows)}
        packages += ["scikit-learn", "skl2onnx", "skops"]
    else:
        if submission.rows is not None:
            raise Invalid(f"{path.name} is taken as it is; rows to check on are for conversions of .skops", "check")
        model = path.read_bytes()
    return Prepared(model, _manifest(submission, model, kind, metrics, packages))


def _manifest(
    submission: Submission, model: bytes, kind: str, metrics: dict[str, float], packages: list[str]
) -> Manifest:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / MODEL_FILE
        file.write_bytes(model)
        signature = inspect_onnx(file, submission.path.name)
        measured = profile(Path(folder), "onnx", signature)
    return Manifest(
        kind=kind,
        runtime="onnx",
        files={MODEL_FILE: Digest(hashlib.sha256(model).hexdigest())},
        signature=signature,
        metrics=metrics,
        lineage=Lineage(packages={name: package_version(name) for name in packages}),
        profile=measured,
        description=submission.description,
    )
