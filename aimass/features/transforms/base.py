"""The contract of a transform: FP32 [rows, features] in, FP32 [rows, columns] out, fitted on training rows only."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self, final

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Bug, Invalid
from aimass.core.signature import Datatype, Signature, TensorSpec

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

Nodes = tuple[list["NodeProto"], list["TensorProto"]]
OPSET = 18
IR_VERSION = 10


class Transform(ABC):
    """Applies float32 arithmetic that ONNX repeats bit by bit, so models see the same numbers in training and use."""

    input_name: ClassVar[str] = "x"
    output_name: ClassVar[str] = "y"

    def __init__(self) -> None:
        self.width = 0  # features it was fitted on; 0: not fitted

    @final
    def fit(self, rows: Array) -> Self:
        """Learns from training rows; ``Invalid`` unless they are finite FP32 [rows ≥ 1, features ≥ 1]."""
        if rows.dtype != np.float32 or rows.ndim != 2 or 0 in rows.shape:
            raise Invalid(f"a transform is fitted on float32 [rows, features], not {rows.dtype} {list(rows.shape)}")
        if not np.isfinite(rows).all():
            raise Invalid("a transform is fitted on finite numbers; the rows hold NaN or infinity")
        self._fit(rows)
        self.width = int(rows.shape[1])
        return self

    @final
    def apply(self, rows: Array) -> Array:
        """The transformed rows, FP32 [rows, columns]."""
        if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != self._fitted():
            raise Invalid(f"expected float32 [rows, {self.width}], got {rows.dtype} {list(rows.shape)}")
        return self._apply(rows)

    @final
    def to_onnx(self) -> bytes:
        """An ONNX model from ``x`` to ``y``; the same fit gives the same bytes."""
        from onnx import TensorProto, helper

        given, made = [None, self._fitted()], [None, self._columns()]
        nodes, constants = self._onnx_nodes(self.input_name, self.output_name)
        graph = helper.make_graph(
            nodes,
            type(self).__name__,
            [helper.make_tensor_value_info(self.input_name, TensorProto.FLOAT, given)],
            [helper.make_tensor_value_info(self.output_name, TensorProto.FLOAT, made)],
            initializer=constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        return bytes(model.SerializeToString(deterministic=True))

    @property
    def signature(self) -> Signature:
        given, made = (-1, self._fitted()), (-1, self._columns())
        return Signature(
            (TensorSpec(self.input_name, Datatype.FP32, given),), (TensorSpec(self.output_name, Datatype.FP32, made),)
        )

    def _fitted(self) -> int:
        if not self.width:
            raise Bug(f"{type(self).__name__} is used before it was fitted")
        return self.width

    def _columns(self) -> int:
        """How many come out; as many as go in, unless said otherwise."""
        return self.width

    @abstractmethod
    def _fit(self, rows: Array) -> None: ...

    @abstractmethod
    def _apply(self, rows: Array) -> Array: ...

    @abstractmethod
    def _onnx_nodes(self, source: str, target: str) -> Nodes: ...
