"""ONNX graphs in half precision (FP16), and the proof that they still say the same.

Half the memory, and what a GPU's tensor cores are made for; on a CPU nothing is gained. Inputs and outputs stay as they
are, so that whoever calls the model notices nothing.
"""

import logging
from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from aimass.core.batch import Array, Batch
from aimass.core.errors import Invalid
from aimass.runtimes.conversion import Agreement
from aimass.runtimes.onnx import open_session

TOLERANCE = 1e-2
"""Between outputs, relative to their range (but to 1 at least). FP16 rounds each step to 5e-4 of itself; a probability
of a network with some ten layers moves by a few of those."""

LARGEST = float(np.finfo(np.float16).max)


def to_half(model: bytes) -> bytes:
    """The graph computed in FP16. Trees and scikit-learn's own operators, which know no FP16, stay in FP32.

    ``Invalid`` when nothing would change, or when it cannot be converted.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    whole = onnx.load_model_from_string(model)
    if _has_half(whole):
        raise Invalid("the weights of this model are in FP16 already")
    logging.disable(logging.WARNING)  # it tells of every weight that two precisions share
    try:
        halved = convert_float_to_float16(whole, keep_io_types=True)
        _sort(halved.graph)
        onnx.checker.check_model(halved)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        AssertionError,
        AttributeError,
        CycleError,
        KeyError,
        ValueError,
        RuntimeError,
    ) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise Invalid(f"the converter cannot write this graph in FP16 ({reason}); serve it as it is") from error
    finally:
        logging.disable(logging.NOTSET)
    if not _has_half(halved):
        raise Invalid("FP16 changes no weights of this model: trees and scikit-learn's own operators stay in FP32")
    return bytes(halved.SerializeToString())


def check_half(model: bytes, half: bytes, batches: Sequence[Batch], tolerance: float = TOLERANCE) -> Agreement:
    """Compare both on every batch, on the CPU, which computes FP16 in FP32 and rounds what passes between operators.

    ``Invalid``, with the figures, where outputs differ by more than ``tolerance``, where whole numbers (labels) differ
    though the two best scores of their row are further apart than that, or where a value on the way is larger than FP16
    holds: a GPU would make it infinite, and a CPU would not notice.
    """
    _refuse_large(model, batches)
    sessions = open_session(model), open_session(half)
    outputs = [output.name for output in sessions[0].get_outputs()]
    differences, mismatches = [], 0
    for batch in batches:
        wanted, found = (session.run(outputs, batch) for session in sessions)
        differences.append(_difference(wanted, found))
        mismatches += _mismatches(wanted, found, tolerance)
    difference = np.concatenate(differences)
    beyond = int(np.count_nonzero(~(difference <= tolerance)))  # NaN counts as beyond
    agreement = Agreement(float(difference.max(initial=0.0)), mismatches, beyond, len(difference))
    if beyond or mismatches:
        raise Invalid(
            f"in FP16 the model disagrees with itself on {beyond} of {len(difference)} rows: worst difference "
            f"{agreement.max_difference:.3g} of the outputs' range, tolerance {tolerance:.3g}, {mismatches} labels "
            "differ; keep it in FP32"
        )
    return agreement


def _has_half(model: Any) -> bool:
    import onnx

    return any(weights.data_type == onnx.TensorProto.FLOAT16 for weights in model.graph.initializer)


def _sort(graph: Any) -> None:
    """Every node after those whose outputs it reads, also from inside its own sub-graphs: casts come last at first."""
    maker = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    reads = {index: {maker[name] for name in _reads(node) if name in maker} for index, node in enumerate(graph.node)}
    nodes = list(graph.node)
    order = list(TopologicalSorter(reads).static_order())
    del graph.node[:]
    graph.node.extend(nodes[index] for index in order)


def _reads(node: Any) -> Iterable[str]:
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for child in inner.node:
                yield from _reads(child)


def _refuse_large(model: bytes, batches: Sequence[Batch]) -> None:
    """Run with every value on the way as an output."""
    import onnx

    watched = onnx.load_model_from_string(model)
    known = {item.name for item in watched.graph.output}
    names = (name for node in watched.graph.node for name in node.output)
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name and name not in known)
    session = open_session(watched.SerializeToString())
    outputs = [output.name for output in session.get_outputs()]
    for batch in batches:
        values = [*batch.items(), *zip(outputs, session.run(outputs, batch), strict=True)]
        for name, value in values:
            if isinstance(value, np.ndarray) and value.dtype == np.float32 and _is_large(value):
                raise Invalid(
                    f"the value {name!r} reaches {np.abs(value).max():.3g} on the rows that were tried, FP16 holds "
                    f"{LARGEST:g}: scale the inputs, or keep it in FP32"
                )


def _is_large(value: Array) -> bool:
    finite = value[np.isfinite(value)]
    return bool(np.abs(finite).max(initial=0.0) > LARGEST)


def _difference(wanted: list[Array], found: list[Array]) -> Array:
    """Of each row, the worst over all outputs of real numbers, relative to the output's range."""
    worst = np.zeros(len(wanted[0]))
    for mine, other in zip(wanted, found, strict=True):
        if mine.dtype.kind == "f":
            scale = max(1.0, float(np.abs(mine).max(initial=0.0)))
            apart = np.abs(other.astype(np.float64) - mine).reshape(len(mine), -1).max(axis=1, initial=0.0) / scale
            worst = np.maximum(worst, apart)
    return worst


def _mismatches(wanted: list[Array], found: list[Array], tolerance: float) -> int:
    """Rows in which something that is no real number differs, though no score is near another."""
    rows = len(wanted[0])
    clear = np.ones(rows, bool)
    for mine in wanted:
        if mine.dtype.kind == "f" and mine.ndim == 2 and mine.shape[1] > 1:
            best = np.sort(mine, axis=1)
            clear &= best[:, -1] - best[:, -2] > tolerance * max(1.0, float(np.abs(mine).max(initial=0.0)))
    wrong = np.zeros(rows, bool)
    for mine, other in zip(wanted, found, strict=True):
        if mine.dtype.kind != "f":
            wrong |= (mine != other).reshape(rows, -1).any(axis=1)
    return int(np.count_nonzero(wrong & clear))
