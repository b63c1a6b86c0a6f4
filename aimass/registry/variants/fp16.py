"""A version in FP16, as the next version of the same name, with how well both agree.

``python -m aimass.registry.variants.fp16 FOLDER RUNTIME CHECKED OUT < signature.json`` converts and compares in a
process of its own.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from aimass.core.batch import Array, Batch, row_count, take
from aimass.core.clock import Clock
from aimass.core.errors import AimassError, Invalid
from aimass.core.ids import AccountId, Digest
from aimass.core.signature import NUMPY, Signature
from aimass.database.engine import Database
from aimass.registry import versions
from aimass.registry.artifacts import checkout
from aimass.registry.child import run_child
from aimass.registry.manifest import Lineage
from aimass.registry.profiler import profile
from aimass.registry.submit import Prepared, store_version
from aimass.registry.versions import Version
from aimass.runtimes.conversion import Agreement
from aimass.runtimes.half import check_half, to_half
from aimass.runtimes.onnx import MODEL_FILE
from aimass.runtimes.samples import random_rows
from aimass.storage.base import ArtifactStore

CHECKED_ROWS = 256
TOGETHER = 32  # rows in a call: every value on the way is kept for a look at its size


def halve_version(
    database: Database, store: ArtifactStore, ref: tuple[str, int], rows: Array | None, owner: tuple[AccountId, Clock]
) -> Version:
    """Convert, compare, profile, register; ``rows``: FP64 ones to compare on (made-up ones without).

    ``Invalid``, with the figures, when both differ by more than ``runtimes.half.TOLERANCE``, or FP16 changes nothing.
    """
    with database.reading() as session:
        parent = versions.get(session, *ref, "version")
    if MODEL_FILE not in parent.manifest.files:
        raise Invalid(f"{parent.ref} has no {MODEL_FILE}; what is written in FP16 is the graph of a model", "version")
    with tempfile.TemporaryDirectory() as folder:
        prepared = _halved(store, parent, Path(folder), rows)
    return store_version(database, store, parent.name, prepared, owner)


def _halved(store: ArtifactStore, parent: Version, folder: Path, rows: Array | None) -> Prepared:
    """The graph, and the manifest that names it beside the parent's other files, which the store has."""
    import onnx
    import onnxruntime

    manifest = parent.manifest
    source, target = checkout(store, manifest.files, folder), folder / "half"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(MODEL_FILE))
    checked, out = folder / "rows.npy", target / MODEL_FILE
    if rows is not None:
        np.save(checked, rows)
    told = json.dumps(manifest.signature.to_json())
    module, *where = "aimass.registry.variants.fp16", str(source), manifest.runtime, str(checked), str(out)
    found = Agreement(**json.loads(run_child(module, *where, stdin=told)))
    metrics = {"agreement_max_difference": found.max_difference, "agreement_rows": float(found.rows)}
    packages = {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    lineage = Lineage(parents=(parent.ref,), packages=packages)
    model = out.read_bytes()
    made = replace(
        manifest,
        files={**manifest.files, MODEL_FILE: Digest(hashlib.sha256(model).hexdigest())},
        metrics=metrics,
        data_hash="",
        lineage=lineage,
        profile=profile(target, manifest.runtime, manifest.signature),
        description=f"{parent.ref} in FP16",
    )
    return Prepared({MODEL_FILE: model}, made)


def _main(source: str, runtime: str, checked: str, out: str) -> None:
    folder = Path(source)
    signature = Signature.from_json(json.load(sys.stdin))
    batches = _texts(folder) if runtime == "sentence" else _rows(signature, Path(checked))
    model = (folder / MODEL_FILE).read_bytes()
    half = to_half(model)
    agreement = check_half(model, half, batches)
    Path(out).write_bytes(half)
    print(json.dumps(asdict(agreement)))


def _rows(signature: Signature, checked: Path) -> list[Batch]:
    """What the graph reads, in several calls."""
    batch = random_rows(signature.inputs, CHECKED_ROWS, np.random.default_rng(0))
    if checked.exists():
        table = np.load(checked, allow_pickle=False)
        (spec, *others) = signature.inputs
        if others or len(spec.shape) != 2 or spec.shape[1] not in (-1, table.shape[1]):
            wanted = ", ".join(f"{item.name} {list(item.shape)}" for item in signature.inputs)
            raise Invalid(f"rows to check on have shape {list(table.shape)}; the model takes {wanted}", field="check")
        batch = {spec.name: table.astype(NUMPY[spec.datatype])}
    return [take(batch, at, at + TOGETHER) for at in range(0, row_count(batch), TOGETHER)]


def _texts(folder: Path) -> list[Batch]:
    """The same of a sentence model: token ids."""
    from aimass.runtimes.text.files import read_settings
    from aimass.runtimes.text.lengths import pad
    from aimass.runtimes.text.phrases import PHRASES
    from aimass.runtimes.text.tokens import TextReader

    reader = TextReader(folder, read_settings(folder).max_tokens)
    return [pad([row]) for row in reader.read(np.array(PHRASES, dtype=object))]


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except AimassError as failure:
        raise SystemExit(" ".join(str(failure).split())) from failure
