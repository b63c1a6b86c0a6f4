"""The hard vote: each member votes for its best class, and a class gets its share of the votes."""

from functools import cached_property

import numpy as np

from aimass.core.batch import Array
from aimass.ensembling.combiners.base import Combiner, Nodes
from aimass.ensembling.shares import check_weights, shares_of


class VoteCombiner(Combiner):
    """Ties, inside a member and among the classes, go to the earlier class, as in scikit-learn's VotingClassifier.
    Weights are votes; without any, each member has one."""

    def _check_weights(self, weights: tuple[float, ...] | None) -> None:
        if weights is not None:
            check_weights(weights)

    @cached_property
    def _votes(self) -> list[np.float32] | None:
        return None if self.weights is None else shares_of(self.weights)

    def _combine(self, members: list[Array]) -> Array:
        rows = np.arange(len(members[0]))
        total = np.zeros_like(members[0])
        for index, member in enumerate(members):
            total[rows, member.argmax(axis=1)] += np.float32(1) if self._votes is None else self._votes[index]
        if self._votes is None:
            total /= np.float32(len(members))
        return total

    def _onnx_nodes(self, inputs: list[str], output: str, prefix: str) -> Nodes:
        from onnx import helper, numpy_helper

        votes = self._votes or [np.float32(1)] * len(inputs)
        nodes, constants, parts = [], [], []
        for index, (name, vote) in enumerate(zip(inputs, votes, strict=True)):
            best, part = f"{prefix}best{index}", f"{prefix}part{index}"
            constants.append(numpy_helper.from_array(np.array(vote), f"{prefix}vote{index}"))
            nodes.append(helper.make_node("Hardmax", [name], [best], name=f"{prefix}hardmax{index}", axis=1))
            nodes.append(helper.make_node("Mul", [best, f"{prefix}vote{index}"], [part], name=f"{prefix}mul{index}"))
            parts.append(part)
        total = parts[0]
        for index, part in enumerate(parts[1:], start=1):
            nodes.append(helper.make_node("Add", [total, part], [f"{prefix}sum{index}"], name=f"{prefix}add{index}"))
            total = f"{prefix}sum{index}"
        count = np.float32(1 if self._votes is not None else len(inputs))
        constants.append(numpy_helper.from_array(np.array(count), f"{prefix}count"))
        nodes.append(helper.make_node("Div", [total, f"{prefix}count"], [output], name=f"{prefix}divide"))
        return nodes, constants
