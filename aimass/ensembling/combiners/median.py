"""The median of the members' probabilities, class by class, brought to a sum of one again."""

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.combiners.base import Combiner, Nodes
from aimass.ensembling.combiners.mean import MeanCombiner
from aimass.ensembling.shares import row_sums, row_sums_nodes


class MedianCombiner(Combiner):
    """One member far off moves nothing (the median rule of Kittler et al. 1998, "On combining classifiers"). Of an even
    number of members the median is the mean of the middle two; a row whose medians are all 0 gets the members' mean."""

    def _check_weights(self, weights: tuple[float, ...] | None) -> None:
        if weights is not None:
            raise Invalid("median takes no weights; remove them, or combine by 'weighted'", field="weights")

    def _combine(self, members: list[Array]) -> Array:
        ordered = np.sort(np.stack(members), axis=0)
        middle = len(members) // 2
        median = ordered[middle]
        if len(members) % 2 == 0:
            median = (ordered[middle - 1] + median) * np.float32(0.5)
        total = row_sums(median)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares: Array = median / total
        return np.where(total > 0, shares, MeanCombiner().combine(members))

    def _onnx_nodes(self, inputs: list[str], output: str, prefix: str) -> Nodes:
        from onnx import helper, numpy_helper

        top = len(inputs) // 2 + 1  # from the largest down to the median
        nodes, rows = [], []
        for index, name in enumerate(inputs):
            rows.append(f"{prefix}row{index}")
            nodes.append(helper.make_node("Unsqueeze", [name, f"{prefix}first"], [rows[-1]], f"{prefix}lift{index}"))
        nodes += [
            helper.make_node("Concat", rows, [f"{prefix}all"], f"{prefix}concat", axis=0),
            helper.make_node(
                "TopK", [f"{prefix}all", f"{prefix}top"], [f"{prefix}upper", f"{prefix}where"], f"{prefix}topk", axis=0
            ),
            helper.make_node("Gather", [f"{prefix}upper", f"{prefix}low"], [f"{prefix}a"], f"{prefix}pick0", axis=0),
            helper.make_node("Gather", [f"{prefix}upper", f"{prefix}high"], [f"{prefix}b"], f"{prefix}pick1", axis=0),
            helper.make_node("Add", [f"{prefix}b", f"{prefix}a"], [f"{prefix}both"], f"{prefix}add"),
            helper.make_node("Mul", [f"{prefix}both", f"{prefix}half"], [f"{prefix}median"], f"{prefix}halve"),
        ]
        sums, constants = row_sums_nodes(f"{prefix}median", f"{prefix}total", f"{prefix}sum/")
        means, more = MeanCombiner().onnx_nodes(inputs, f"{prefix}mean", f"{prefix}mean/")
        nodes += [
            *sums,
            *means,
            helper.make_node("Div", [f"{prefix}median", f"{prefix}total"], [f"{prefix}shares"], f"{prefix}divide"),
            helper.make_node("Greater", [f"{prefix}total", f"{prefix}zero"], [f"{prefix}some"], f"{prefix}compare"),
            helper.make_node(
                "Where", [f"{prefix}some", f"{prefix}shares", f"{prefix}mean"], [output], f"{prefix}choose"
            ),
        ]
        values = {
            "first": np.array([0], np.int64),
            "top": np.array([top], np.int64),
            "low": np.array(top - 1, np.int64),
            "high": np.array(top - 1 if len(inputs) % 2 else top - 2, np.int64),
            "half": np.array(0.5, np.float32),
            "zero": np.array(0, np.float32),
        }
        constants += [*more, *(numpy_helper.from_array(value, f"{prefix}{name}") for name, value in values.items())]
        return nodes, constants
