"""The rank average: how each member orders the classes counts, not how sure it is."""

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.combiners.base import Combiner, Nodes
from aimass.ensembling.shares import row_sums, row_sums_nodes


class RankCombiner(Combiner):
    """In each row a member's classes get ranks 1 (least likely) to ``classes``, equal ones the mean of theirs, as by
    ``scipy.stats.rankdata``; the ranks are added over the members and brought to a sum of one. The order of the classes
    is that of the Borda count (Ho, Hull and Srihari 1994, "Decision combination in multiple classifier systems").

    Ranks are taken among a row's classes, never among rows, so that a row's answer does not depend on its company. Each
    member compares all pairs of classes: rows · classes² steps.
    """

    def _check_weights(self, weights: tuple[float, ...] | None) -> None:
        if weights is not None:
            raise Invalid("rank takes no weights; remove them, or combine by 'weighted'", field="weights")

    def _combine(self, members: list[Array]) -> Array:
        total = np.zeros_like(members[0])
        for member in members:
            ours, others = member[:, :, None], member[:, None, :]
            below = (ours > others).sum(axis=2, dtype=np.float32)
            equal = (ours == others).sum(axis=2, dtype=np.float32)
            total += below + equal * np.float32(0.5) + np.float32(0.5)
        return total / row_sums(total)

    def _onnx_nodes(self, inputs: list[str], output: str, prefix: str) -> Nodes:
        from onnx import TensorProto, helper, numpy_helper

        nodes, total = [], ""
        for index, name in enumerate(inputs):
            at = f"{prefix}{index}/"
            nodes += [
                helper.make_node("Unsqueeze", [name, f"{prefix}two"], [f"{at}ours"], f"{at}lift0"),
                helper.make_node("Unsqueeze", [name, f"{prefix}one"], [f"{at}others"], f"{at}lift1"),
            ]
            for operator, counted in (("Greater", "below"), ("Equal", "equal")):
                what = f"{at}{counted}"
                nodes += [
                    helper.make_node(operator, [f"{at}ours", f"{at}others"], [f"{what}/is"], f"{what}/compare"),
                    helper.make_node("Cast", [f"{what}/is"], [f"{what}/one"], f"{what}/cast", to=TensorProto.FLOAT),
                    helper.make_node("ReduceSum", [f"{what}/one", f"{prefix}two"], [what], f"{what}/count", keepdims=0),
                ]
            nodes += [
                helper.make_node("Mul", [f"{at}equal", f"{prefix}half"], [f"{at}tied"], f"{at}halve"),
                helper.make_node("Add", [f"{at}below", f"{at}tied"], [f"{at}place"], f"{at}add"),
                helper.make_node("Add", [f"{at}place", f"{prefix}half"], [f"{at}rank"], f"{at}shift"),
            ]
            if index:
                nodes.append(helper.make_node("Add", [total, f"{at}rank"], [f"{at}total"], f"{at}sum"))
            total = f"{at}total" if index else f"{at}rank"
        sums, constants = row_sums_nodes(total, f"{prefix}total", f"{prefix}sum/")
        nodes += [*sums, helper.make_node("Div", [total, f"{prefix}total"], [output], f"{prefix}divide")]
        values = {"one": np.array([1]), "two": np.array([2]), "half": np.array(0.5, np.float32)}
        return nodes, [
            *constants,
            *(numpy_helper.from_array(value, f"{prefix}{name}") for name, value in values.items()),
        ]
