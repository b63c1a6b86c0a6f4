"""Sticky traffic: the shares that were named, and a caller stays where it is."""

from collections.abc import Mapping

from aimass.core.errors import Invalid
from aimass.serving.traffic.base import BY, Traffic, Weights
from aimass.serving.traffic.rewards import Rewards


class StickyTraffic(Traffic):
    """A call's bucket is that of what its caller is known by."""

    OPTIONS = {BY: "header:NAME, field:NAME or key"}

    def _read_options(self) -> None:
        if not self.options.get(BY):
            raise Invalid("sticky traffic needs to know by what: header:NAME, field:NAME or key", field=f"options.{BY}")

    def _shares(self, elapsed_s: float, rewards: Mapping[int, Rewards]) -> Weights:
        return self.weights
