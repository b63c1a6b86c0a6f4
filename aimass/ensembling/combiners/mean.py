"""The plain average: every member counts the same."""

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.combiners.base import Combiner, Nodes


class MeanCombiner(Combiner):
    """Adds the members in order, then divides by their number."""

    def _check_weights(self, weights: tuple[float, ...] | None) -> None:
        if weights is not None:
            raise Invalid("mean takes no weights; remove them, or combine by 'weighted'", field="weights")

    def _combine(self, members: list[Array]) -> Array:
        total = members[0].copy()
        for member in members[1:]:
            total += member
        total /= np.float32(len(members))
        return total

    def _onnx_nodes(self, inputs: list[str], output: str, prefix: str) -> Nodes:
        from onnx import helper, numpy_helper

        nodes, total = [], inputs[0]
        for index, name in enumerate(inputs[1:], start=1):
            nodes.append(helper.make_node("Add", [total, name], [f"{prefix}sum{index}"], name=f"{prefix}add{index}"))
            total = f"{prefix}sum{index}"
        nodes.append(helper.make_node("Div", [total, f"{prefix}count"], [output], name=f"{prefix}divide"))
        return nodes, [numpy_helper.from_array(np.array(len(inputs), np.float32), f"{prefix}count")]
