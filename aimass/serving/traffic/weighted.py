"""Weighted traffic: the shares that were named, each call by itself."""

from collections.abc import Mapping

from aimass.serving.traffic.base import Traffic, Weights
from aimass.serving.traffic.rewards import Rewards


class WeightedTraffic(Traffic):
    """A call's bucket is that of its request id."""

    def _shares(self, elapsed_s: float, rewards: Mapping[int, Rewards]) -> Weights:
        return self.weights
