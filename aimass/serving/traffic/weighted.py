"""Weighted traffic: [0, 1) cut into one piece per revision, newest first, each as long as its weight."""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate

from aimass.serving.traffic.base import ALL_PERCENT, Traffic


class WeightedTraffic(Traffic):
    """While the newest revision's weight grows, callers only ever move to it, never back."""

    def __init__(self, weights: Mapping[int, float]) -> None:
        super().__init__(weights)
        self._revisions = sorted(self.weights, reverse=True)
        self._ends = [end / ALL_PERCENT for end in accumulate(self.weights[number] for number in self._revisions)][:-1]

    def _choose(self, point: float) -> int:
        return self._revisions[bisect_right(self._ends, point)]
