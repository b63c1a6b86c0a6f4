"""The members' columns side by side: what the model of a stacking is trained on and reads."""

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.combiners.base import Combiner, Nodes


class StackCombiner(Combiner):
    """FP32 [rows, columns of all members]; the model behind it says what they mean (Wolpert 1992, "Stacked
    generalization")."""

    output = "features"
    alike = False
    goes_on = False

    def _check_weights(self, weights: tuple[float, ...] | None) -> None:
        if weights is not None:
            raise Invalid("stack takes no weights; its model weighs the members", field="weights")

    def _combine(self, members: list[Array]) -> Array:
        return np.concatenate(members, axis=1)

    def _onnx_nodes(self, inputs: list[str], output: str, prefix: str) -> Nodes:
        from onnx import helper

        return [helper.make_node("Concat", inputs, [output], f"{prefix}concat", axis=1)], []
