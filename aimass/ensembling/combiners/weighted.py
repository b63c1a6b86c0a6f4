"""The weighted average; weights are shares, brought to a sum of one."""

import math
from functools import cached_property

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.combiners.base import Combiner, Nodes


class WeightedCombiner(Combiner):
    """Multiplies each member by its share, rounded to float32, and adds them in order."""

    def _check_weights(self, weights: tuple[float, ...] | None) -> None:
        if not weights:
            raise Invalid("weighted needs weights, one for each member", field="weights")
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not math.isfinite(sum(weights)):
            raise Invalid(f"weights {list(weights)} must be finite and not negative", field="weights")
        if sum(weights) <= 0:
            raise Invalid(f"weights {list(weights)} are all zero; one at least must count", field="weights")

    @cached_property
    def _shares(self) -> list[np.float32]:
        weights = self.weights or ()
        total = math.fsum(weights)
        return [np.float32(weight / total) for weight in weights]

    def _combine(self, members: list[Array]) -> Array:
        shares = self._shares
        total: Array = members[0] * shares[0]
        for member, share in zip(members[1:], shares[1:], strict=True):
            total += member * share
        return total

    def _onnx_nodes(self, inputs: list[str], output: str, prefix: str) -> Nodes:
        from onnx import helper, numpy_helper

        nodes, constants, total = [], [], ""
        for index, (name, share) in enumerate(zip(inputs, self._shares, strict=True)):
            constants.append(numpy_helper.from_array(np.array(share), f"{prefix}share{index}"))
            last = index == len(inputs) - 1
            part = output if last and index == 0 else f"{prefix}part{index}"
            nodes.append(helper.make_node("Mul", [name, f"{prefix}share{index}"], [part], name=f"{prefix}mul{index}"))
            if index > 0:
                added = output if last else f"{prefix}sum{index}"
                nodes.append(helper.make_node("Add", [total, part], [added], name=f"{prefix}add{index}"))
                part = added
            total = part
        return nodes, constants
