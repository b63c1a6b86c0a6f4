"""A service's traffic policy, by the table."""

from collections.abc import Mapping
from typing import Any

from aimass.core import plugins
from aimass.serving.traffic import TRAFFIC
from aimass.serving.traffic.base import BY, Traffic, Weights

WEIGHTED, STICKY = "weighted", "sticky"


def make_traffic(
    policy: str, weights: Weights, options: Mapping[str, Any] | None = None, before: Weights | None = None
) -> Traffic:
    """``Invalid`` for a policy that is not known, weights that are no per cents, and options that make no sense."""
    return plugins.load_class(TRAFFIC, policy, Traffic, "policy")(weights, options, before)  # type: ignore[type-abstract]


def sticks(policy: str, by: str) -> tuple[str, dict[str, str]]:
    """Policy and options for callers that stick by this; plain weighted traffic becomes sticky."""
    if not by:
        return policy, {}
    return (STICKY if policy == WEIGHTED else policy), {BY: by}
