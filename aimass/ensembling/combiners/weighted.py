"""The weighted average; weights are shares, brought to a sum of one."""

from functools import cached_property

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.combiners.base import Combiner, Nodes
from aimass.ensembling.shares import check_weights, shares_of


class WeightedCombiner(Combiner):
    """Multiplies each member by its share, rounded to float32, and adds them in order."""

    def _check_weights(self, weights: tuple[float, ...] | None) -> None:
        if not weights:
            raise Invalid("weighted needs weights, one for each member", field="weights")
        check_weights(weights)

    @cached_property
    def _shares(self) -> list[np.float32]:
        return shares_of(self.weights or ())

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
