"""What every choice of a cascade's thresholds would be worth and cost, all of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aimass.core.batch import Array

CELLS = 250_000  # combinations of thresholds that are looked at
_APART = 1e-6  # confidences closer than that are one: they differ by how sums were rounded
_SLACK = 1e-9  # by which sums over rows may differ


@dataclass(frozen=True)
class Point:
    """Thresholds, one for each member but the last; the mean score and the mean cost of a row under them."""

    thresholds: tuple[float, ...]
    score: float
    cost: float

    def reaches(self, floor: float) -> bool:
        """Whether its score is not below."""
        return self.score >= floor - _SLACK


class Surface:
    """``confidences`` [rows] of each member but the last; ``gains`` [rows] of each, higher is better; ``prices``, what
    it adds to a row that comes to it. A row comes to a member if it went on from all before.

    Exact where a member has few enough different confidences, else its thresholds lie at quantiles of the rows.
    """

    def __init__(self, confidences: Sequence[Array], gains: Sequence[Array], prices: Sequence[float]) -> None:
        most = max(2, int(CELLS ** (1 / len(confidences))))
        self._cuts = [cuts(sure, most) for sure in confidences]
        rows = len(gains[0])
        shape = [len(values) for values in self._cuts]
        self._score = np.full(shape, float(gains[0].mean()))
        self._cost = np.full(shape, float(prices[0]))
        stays = [_stays(sure, values) for sure, values in zip(confidences, self._cuts, strict=True)]
        for index in range(1, len(gains)):
            comes = _Comes(stays[:index], shape)
            self._score += comes.sums(gains[index] - gains[index - 1]) / rows
            self._cost += comes.sums(np.ones(rows)) * (prices[index] / rows)

    def cheapest(self, floor: float) -> Point:
        """The least cost at a score of ``floor`` at least, and of equal ones the best; where none has it, the best."""
        score, cost = self._score.ravel(), self._cost.ravel()
        enough = np.flatnonzero(score >= floor - _SLACK)
        if len(enough):
            return self._point(enough[np.lexsort((-score[enough], cost[enough]))[0]])
        return self._point(np.lexsort((cost, -score))[0])

    def frontier(self, most: int) -> list[Point]:
        """Those that nothing cheaper equals, by cost; at most so many of them, spread evenly over their costs."""
        score, cost = self._score.ravel(), self._cost.ravel()
        order = np.lexsort((-score, cost))
        reached = np.maximum.accumulate(score[order])
        better = np.concatenate([[True], score[order][1:] > reached[:-1] + _SLACK])
        kept = order[better]
        if len(kept) > most:
            wanted = np.linspace(cost[kept[0]], cost[kept[-1]], most)
            kept = kept[np.unique(np.abs(cost[kept][None] - wanted[:, None]).argmin(axis=1))]
        return [self._point(index) for index in kept]

    def _point(self, index: int) -> Point:
        at = np.unravel_index(index, self._score.shape)
        thresholds = tuple(float(values[place]) for values, place in zip(self._cuts, at, strict=True))
        return Point(thresholds, float(self._score[at]), float(self._cost[at]))


def cuts(confidences: Array, most: int) -> Array:
    """FP64, ascending, in (0, 1]: thresholds between neighbouring confidences, with as few decimals as tell them apart.

    The first lets nobody go on, the last everybody, unless somebody is sure to the last bit. At most ``most``.
    """
    known = np.sort(confidences[~np.isnan(confidences)].astype(np.float64))
    if not len(known):
        return np.array([1.0])
    ends = np.flatnonzero(np.diff(known) > _APART)  # a threshold may stand behind each of these
    if len(ends) > most - 2:
        wanted = np.linspace(0, len(known) - 1, max(2, most))[1:-1]
        ends = np.unique(ends[np.minimum(np.searchsorted(ends, wanted), len(ends) - 1)])
    between = [_between(known[end], known[end + 1]) for end in ends]
    last = [_between(known[-1], 1.0)] if known[-1] < 1 - _APART else []
    return np.array([_between(0.0, known[0]), *between, *last])


def _between(low: float, high: float) -> float:
    """About the middle, and far enough from both that no rounding moves it across."""
    middle, quarter = (low + high) / 2, (high - low) / 4
    rounded = (round(middle, digits) for digits in range(1, 9))
    return next((value for value in rounded if low + quarter <= value <= high - quarter), middle)


def _stays(confidences: Array, values: Array) -> Array:
    """INT64 [rows]: how many of the thresholds would keep the row; it goes on from the others."""
    kept = np.searchsorted(values, confidences, side="right")
    return np.where(np.isnan(confidences), 0, kept)


class _Comes:
    """The rows that come to a member, under every combination of the thresholds before it."""

    def __init__(self, stays: Sequence[Array], shape: Sequence[int]) -> None:
        self._shape, self._before = shape, shape[: len(stays)]
        self._rows = np.all([place < size for place, size in zip(stays, self._before, strict=True)], axis=0)
        places = tuple(place[self._rows] for place in stays)
        self._cells = np.ravel_multi_index(places, self._before)

    def sums(self, values: Array) -> Array:
        """FP64, with an axis of 1 for each threshold behind: the sum of ``values`` [rows] over those that come."""
        found = np.bincount(self._cells, values[self._rows], minlength=int(np.prod(self._before)))
        found = found.reshape(self._before)
        for axis in range(found.ndim):
            found = found.cumsum(axis=axis)
        whole: Array = found.reshape(*self._before, *[1] * (len(self._shape) - len(self._before)))
        return whole
