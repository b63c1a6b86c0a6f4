"""A sentence model's archive as verified files: its graph looked at, its vectors compared, in child processes.

``python -m aimass.registry.sentence_file FOLDER SIZE < check.json`` compares; what it prints is told to the parent.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from aimass.core.errors import AimassError, Invalid
from aimass.core.signature import Signature, TensorSpec
from aimass.registry.child import run_child
from aimass.registry.onnx_file import inspect_onnx
from aimass.runtimes.onnx import MODEL_FILE
from aimass.runtimes.text.agreement import check_same, settle_together
from aimass.runtimes.text.archive import Check, read_archive
from aimass.runtimes.text.files import ENCODER_INPUTS, VECTORS, sentence_signature


@dataclass(frozen=True)
class Verified:
    """How far the graph is from what it was made from, and rows in company from rows alone, at worst."""

    max_difference: float
    moved: float


def open_archive(path: Path, folder: Path) -> tuple[Signature, Verified, Check]:
    """The archive's files in ``folder``, and what was found out about them; ``Invalid`` says what is wrong."""
    check = read_archive(path, folder)
    signature = sentence_signature(_size(inspect_onnx(folder / MODEL_FILE, MODEL_FILE)))
    told = json.dumps({"texts": check.texts, "vectors": check.vectors.tolist()})
    size = str(signature.outputs[0].shape[1])
    found = json.loads(run_child("aimass.registry.sentence_file", str(folder), size, stdin=told))
    return signature, Verified(**found), check


def _size(graph: Signature) -> int:
    """Of the graph's vectors; ``Invalid`` for a graph that is no encoder."""
    shapes = {spec.name: spec.shape for spec in graph.outputs}
    shape = shapes.get(VECTORS, ())
    bare = tuple(TensorSpec(spec.name, spec.datatype, spec.shape) for spec in graph.inputs)
    if bare != ENCODER_INPUTS or len(shape) != 2 or shape[1] < 1:
        wanted = ", ".join(f"{spec.name} {spec.datatype} [rows, length]" for spec in ENCODER_INPUTS)
        raise Invalid(f"{MODEL_FILE} must read {wanted} and give {VECTORS} FP32 [rows, size], size a number")
    return shape[1]


def _main(folder: str, size: str) -> None:
    said = json.load(sys.stdin)
    alone, moved = settle_together(Path(folder), sentence_signature(int(size)), said["texts"])
    worst = check_same(alone, np.array(said["vectors"], np.float32))
    print(json.dumps(asdict(Verified(worst, moved))))


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except AimassError as failure:
        raise SystemExit(" ".join(str(failure).split())) from failure
