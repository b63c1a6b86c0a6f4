"""A sentence model's version in 8 bits, as the next version of the same name, with how well both agree.

``python -m aimass.registry.variants.int8 FOLDER TARGET SIZE`` quantises and compares in a process of its own.
"""

import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version as package_version
from pathlib import Path

from aimass.core.clock import Clock
from aimass.core.errors import AimassError, Invalid
from aimass.core.ids import AccountId
from aimass.database.engine import Database
from aimass.registry import versions
from aimass.registry.artifacts import checkout
from aimass.registry.child import run_child
from aimass.registry.manifest import Lineage
from aimass.registry.submit import SENTENCE, Prepared, prepare_folder, store_version
from aimass.registry.versions import Version
from aimass.runtimes.onnx import MODEL_FILE
from aimass.runtimes.text.agreement import Cosines, cosines, embed, settle_together
from aimass.runtimes.text.files import FILES, sentence_signature
from aimass.runtimes.text.phrases import PHRASES
from aimass.runtimes.text.quantized import quantize_graph
from aimass.storage.base import ArtifactStore

MIN_COSINE = 0.95
"""Of the worst text, by default: MiniLM keeps 0.99."""

PACKAGES = ("onnx", "tokenizers")


def quantize_version(
    database: Database, store: ArtifactStore, ref: tuple[str, int], min_cosine: float, owner: tuple[AccountId, Clock]
) -> Version:
    """Quantise, compare, profile, register. ``Invalid``, with the figures, when a text's vectors are further apart than
    ``min_cosine``, or the version is no sentence model, or is quantised already."""
    if not -1 <= min_cosine <= 1:
        raise Invalid(f"min_cosine is {min_cosine:g}; a cosine lies between -1 and 1", field="min_cosine")
    with database.reading() as session:
        parent = versions.get(session, *ref, "version")
    if parent.manifest.runtime != SENTENCE:
        runs = parent.manifest.runtime or "an ensemble"
        raise Invalid(
            f"{parent.ref} runs as {runs}; only sentence models are quantised: `aimass models halve` takes others"
        )
    with tempfile.TemporaryDirectory() as folder:
        prepared = _quantized(store, parent, Path(folder), min_cosine)
    return store_version(database, store, parent.name, prepared, owner)


def _quantized(store: ArtifactStore, parent: Version, folder: Path, min_cosine: float) -> Prepared:
    target = folder / "quantized"
    target.mkdir()
    source = checkout(store, parent.manifest.files, folder)
    size = str(parent.manifest.signature.outputs[0].shape[1])
    found = Cosines(**json.loads(run_child("aimass.registry.variants.int8", str(source), str(target), size)))
    if found.worst < min_cosine:
        raise Invalid(
            f"{parent.ref} in 8 bits agrees too little with itself: over {len(PHRASES)} texts the worst cosine is "
            f"{found.worst:.4f}, the mean {found.mean:.4f}, wanted is {min_cosine:g}; ask for less, or keep it",
            field="min_cosine",
        )
    metrics = {
        "agreement_worst_cosine": found.worst,
        "agreement_mean_cosine": found.mean,
        "agreement_rows": float(len(PHRASES)),
    }
    lineage = Lineage(parents=(parent.ref,), packages={name: package_version(name) for name in PACKAGES})
    files = {name: (target / name).read_bytes() for name in FILES}
    return prepare_folder(files, parent.manifest.signature, metrics, lineage)


def _main(source: str, target: str, size: str) -> None:
    before, after = Path(source), Path(target)
    signature = sentence_signature(int(size))
    for name in FILES:
        if name != MODEL_FILE:
            shutil.copyfile(before / name, after / name)
    quantize_graph(before, after)
    alone, _ = settle_together(after, signature, PHRASES)
    print(json.dumps(asdict(cosines(alone, embed(before, signature, PHRASES, together=False)))))


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except AimassError as failure:
        raise SystemExit(" ".join(str(failure).split())) from failure
