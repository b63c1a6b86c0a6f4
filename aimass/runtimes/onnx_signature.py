"""The signature that an ONNX graph states, and whether a version's own signature fits it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aimass.core.errors import Invalid
from aimass.core.signature import Datatype, Signature, TensorSpec

_DATATYPES = {
    "tensor(bool)": Datatype.BOOL,
    "tensor(uint8)": Datatype.UINT8,
    "tensor(uint16)": Datatype.UINT16,
    "tensor(uint32)": Datatype.UINT32,
    "tensor(uint64)": Datatype.UINT64,
    "tensor(int8)": Datatype.INT8,
    "tensor(int16)": Datatype.INT16,
    "tensor(int32)": Datatype.INT32,
    "tensor(int64)": Datatype.INT64,
    "tensor(float16)": Datatype.FP16,
    "tensor(float)": Datatype.FP32,
    "tensor(double)": Datatype.FP64,
    "tensor(string)": Datatype.BYTES,
}


def read_signature(session: Any) -> Signature:
    """The signature that the graph itself states; the first dimension must be free, for it counts the rows."""
    return Signature(
        inputs=tuple(_spec(node, "input") for node in session.get_inputs()),
        outputs=tuple(_spec(node, "output") for node in session.get_outputs()),
    )


def check_signature(session: Any, signature: Signature, folder: Path) -> None:
    """``Invalid`` when the graph lacks a tensor of ``signature``, describes it otherwise, or needs more inputs.

    The signature may leave outputs out, and be narrower than a graph that does not know its own output shapes.
    """
    extra = _compare(folder, "input", signature.inputs, session.get_inputs())
    if extra:
        raise Invalid(f"{folder}: the model also needs {', '.join(extra)}, which its signature does not name")
    _compare(folder, "output", signature.outputs, session.get_outputs())


def _spec(node: Any, what: str) -> TensorSpec:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise Invalid(
            f"{what} {node.name!r} is a {node.type}; only tensors can be served (convert without ZipMap)",
            field=node.name,
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    if not shape or shape[0] != -1:
        raise Invalid(
            f"{what} {node.name!r} has shape {list(shape)}; its first dimension must be free, for it counts the rows: "
            "export the model with a dynamic batch",
            field=node.name,
        )
    return TensorSpec(node.name, datatype, shape)


def _compare(folder: Path, what: str, wanted: tuple[TensorSpec, ...], nodes: Iterable[Any]) -> list[str]:
    found = {node.name: node for node in nodes}
    for spec in wanted:
        node = found.pop(spec.name, None)
        if node is None:
            raise Invalid(
                f"{folder}: the model has no {what} {spec.name!r}; it has {', '.join(found)}", field=spec.name
            )
        if what == "output" and not node.shape and _DATATYPES.get(node.type) == spec.datatype:
            continue
        problem = _spec(node, what).accepts(spec)
        if problem:
            raise Invalid(f"{folder}: {what} {spec.name!r} is declared with {problem}", field=spec.name)
    return list(found)
