"""Autoscaling policies against the kit, and as Ray Serve calls them."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core import plugins
from aimass.core.errors import Invalid
from aimass.serving.autoscaling import AUTOSCALING
from aimass.serving.autoscaling.base import Autoscaling, Bounds, Figures
from aimass.serving.autoscaling.queue_length import QueueLength
from aimass.testing.autoscaling import AutoscalingConformance


@pytest.mark.parametrize("key", AUTOSCALING)
def test_the_kit_covers_every_policy(key: str) -> None:
    assert plugins.load(AUTOSCALING, key) in {QueueLength}


class TestQueueLength(AutoscalingConformance):
    def make(self, cooldown_s: float) -> Autoscaling:
        return QueueLength(target=16, cooldown_s=cooldown_s)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=10), st.integers(1, 64))
def test_no_replica_is_above_its_target_when_bounds_allow(loads: list[float], target: int) -> None:
    wanted, _ = QueueLength(target, cooldown_s=0).decide(Figures(len(loads), tuple(loads)), {}, Bounds(1, 100_000), 0.0)
    assert sum(loads) <= wanted * target * (1 + 1e-12)
    assert wanted == 1 or sum(loads) > (wanted - 1) * target * (1 - 1e-12)


def test_a_target_must_be_positive() -> None:
    with pytest.raises(Invalid, match="above 0"):
        QueueLength(0)


def context(loads: dict[str, float], replicas: int, now: float, state: dict[str, Any]) -> SimpleNamespace:
    """Ray Serve's AutoscalingContext, as far as it is read."""
    return SimpleNamespace(
        aggregated_metrics={"in_flight": loads} if loads else None,
        target_num_replicas=replicas,
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=3,
        policy_state=state,
        current_time=now,
    )


def test_ray_serve_calls_it_with_its_context() -> None:
    policy = QueueLength(target=16, cooldown_s=5)
    assert policy(context({}, 2, 0.0, {})) == (2, {})
    assert policy(context({"r1": 40.0}, 1, 0.0, {})) == (3, {})
    size, state = policy(context({"r1": 1.0, "r2": 1.0, "r3": 1.0}, 3, 10.0, {"serve's own": 1}))
    assert (size, state) == (3, {"since": 10.0, "most": 1.0})
    assert policy(context({"r1": 1.0}, 3, 15.0, state)) == (1, {})
