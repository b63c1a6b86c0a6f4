"""The contract of a combiner: probabilities of the same rows and classes in, one such array out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

Nodes = tuple[list["NodeProto"], list["TensorProto"]]
"""ONNX nodes in the order they run, and the constants they use."""


class Combiner(ABC):
    """Combines in float32, member after member, so that numpy and ONNX give the same bits.

    Every member gives FP32 [rows, classes]. Which class a column stands for, and the label, is the caller's.
    """

    output: ClassVar[str] = "probabilities"  # else what it gives are no probabilities, and there is no label
    alike: ClassVar[bool] = True  # every member has the same columns
    goes_on: ClassVar[bool] = True  # without some of its members, if it must

    @final
    def __init__(self, weights: tuple[float, ...] | None = None) -> None:
        """``weights``: one per member, where the combiner takes any; else ``Invalid``."""
        self._check_weights(weights)
        self.weights = weights

    @final
    def combine(self, members: list[Array]) -> Array:
        """One FP32 [rows, classes] of the members'; ``Invalid`` when their shapes, types or number do not fit."""
        self._check_count(len(members))
        wanted = members[0].shape[:2] if self.alike else members[0].shape[:1]
        for index, member in enumerate(members):
            if member.dtype != np.float32 or member.ndim != 2 or member.shape[: len(wanted)] != wanted:
                raise Invalid(
                    f"member {index} gives {member.dtype} {list(member.shape)}; "
                    f"every member must give float32 {[*wanted, 'any'][:2]}"
                )
        return self._combine(members)

    @final
    def combine_present(self, members: Sequence[Array | None]) -> Array:
        """The same of those that are not None, as if there were no others: weights count in proportion to each other.

        ``Unavailable`` when nobody is left that counts, or when this combiner needs every member.
        """
        present = [(index, member) for index, member in enumerate(members) if member is not None]
        if len(present) == len(members):
            return self.combine([member for _, member in present])
        weights = None if self.weights is None else tuple(self.weights[index] for index, _ in present)
        if not self.goes_on or not present or (weights is not None and sum(weights) <= 0):
            raise Unavailable(f"only {len(present)} of {len(members)} members answered, which is too few to combine")
        return type(self)(weights).combine([member for _, member in present])

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
