"""The contract of a combiner: probabilities of the same rows and classes in, one such array out."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, final

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

Nodes = tuple[list["NodeProto"], list["TensorProto"]]
"""ONNX nodes in the order they run, and the constants they use."""


class Combiner(ABC):
    """Combines in float32, member after member, so that numpy and ONNX give the same bits.

    Every member gives FP32 [rows, classes]. Which class a column stands for, and the label, is the caller's.
    """

    @final
    def __init__(self, weights: tuple[float, ...] | None = None) -> None:
        """``weights``: one per member, where the combiner takes any; else ``Invalid``."""
        self._check_weights(weights)
        self.weights = weights

    @final
    def combine(self, members: list[Array]) -> Array:
        """One FP32 [rows, classes] of the members'; ``Invalid`` when their shapes, types or number do not fit."""
        self._check_count(len(members))
        first = members[0]
        for index, member in enumerate(members):
            if member.dtype != np.float32 or member.ndim != 2 or member.shape != first.shape:
                raise Invalid(
                    f"member {index} gives {member.dtype} {list(member.shape)}; "
                    f"every member must give float32 {list(first.shape[:2])}"
                )
        return self._combine(members)

    @final
    def onnx_nodes(self, inputs: list[str], output: str, prefix: str) -> Nodes:
        """The same arithmetic as ONNX, from tensors ``inputs`` to ``output``; every name it makes has the prefix."""
        self._check_count(len(inputs))
        return self._onnx_nodes(inputs, output, prefix)

    def _check_count(self, members: int) -> None:
        if members == 0:
            raise Invalid("a combiner needs at least one member")
        if self.weights is not None and len(self.weights) != members:
            raise Invalid(f"{len(self.weights)} weights for {members} members; give one for each", field="weights")

    @abstractmethod
    def _check_weights(self, weights: tuple[float, ...] | None) -> None: ...

    @abstractmethod
    def _combine(self, members: list[Array]) -> Array: ...

    @abstractmethod
    def _onnx_nodes(self, inputs: list[str], output: str, prefix: str) -> Nodes: ...
