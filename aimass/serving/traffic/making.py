"""The traffic policy of services, by the table."""

from collections.abc import Mapping

from aimass.core import plugins
from aimass.serving.traffic import TRAFFIC
from aimass.serving.traffic.base import Traffic

POLICY = "weighted"  # the only one that a service has words for


def make_traffic(weights: Mapping[int, float]) -> Traffic:
    """For one numbered state; ``weights``: revision → per cent."""
    made: Traffic = plugins.load(TRAFFIC, POLICY)(weights)
    return made
