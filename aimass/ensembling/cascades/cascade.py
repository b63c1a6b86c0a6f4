"""A cascade over arrays: which member answers which row. What serves it asks the same question of live members."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.cascades.confidence import confidence

Ask = Callable[[int, Array | None], Array]
"""(member, row numbers or None for all) → FP32 [rows, classes]."""


def known(predictions: Sequence[Array]) -> Ask:
    """Members that have answered every row already."""
    return lambda index, rows: predictions[index] if rows is None else predictions[index][rows]


@dataclass(frozen=True)
class Answered:
    """FP32 [rows, classes] of the member that answered each row, and INT64 [rows], which one it was."""

    probabilities: Array
    member: Array


@dataclass(frozen=True)
class Cascade:
    """Rows go on from a member while their confidence is below its threshold. Both have one value for each member but
    the last."""

    temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.temperatures) != len(self.thresholds) or not self.thresholds:
            raise Invalid("a cascade has a temperature and a threshold for each member but the last, and two members")

    def answer(self, ask: Ask) -> Answered:
        """Asks each member for the rows that come to it, and for no others."""
        whole = ask(0, None)
        answers, member = whole, np.zeros(len(whole), np.int64)
        goes = np.arange(len(whole))
        probabilities = whole.copy()
        for index, (temperature, threshold) in enumerate(zip(self.temperatures, self.thresholds, strict=True)):
            unsure = ~(confidence(answers, temperature) >= np.float32(threshold))  # what is no number goes on
            goes = goes[unsure]
            if not len(goes):
                break
            answers = ask(index + 1, goes)
            probabilities[goes], member[goes] = answers, index + 1
        return Answered(probabilities, member)
