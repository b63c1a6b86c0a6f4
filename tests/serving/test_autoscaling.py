"""Autoscaling policies against the kit, and as Ray Serve calls them."""

from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core import plugins
from aimass.core.errors import Invalid
from aimass.serving.autoscaling import AUTOSCALING
from aimass.serving.autoscaling.base import Autoscaling, Bounds, Figures
from aimass.serving.autoscaling.latency import Latency
from aimass.serving.autoscaling.queue_length import QueueLength
from aimass.serving.autoscaling.schedule import Schedule
from aimass.testing.autoscaling import AutoscalingConformance


@pytest.mark.parametrize("key", AUTOSCALING)
def test_the_kit_covers_every_policy(key: str) -> None:
    assert plugins.load(AUTOSCALING, key) in {QueueLength, Latency, Schedule}


class TestQueueLength(AutoscalingConformance):
    def make(self, cooldown_s: float) -> Autoscaling:
        return QueueLength(target=16, cooldown_s=cooldown_s)


class TestLatency(AutoscalingConformance):
    def make(self, cooldown_s: float) -> Autoscaling:
        return Latency(target_ms=50, cooldown_s=cooldown_s)


class TestSchedule(AutoscalingConformance):
    def make(self, cooldown_s: float) -> Autoscaling:
        return Schedule([{"from": "08:00", "to": "18:00", "replicas": 3}], cooldown_s=cooldown_s)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=10), st.integers(1, 64))
def test_no_replica_is_above_its_target_when_bounds_allow(loads: list[float], target: int) -> None:
    wanted, _ = QueueLength(target, cooldown_s=0).decide(Figures(len(loads), tuple(loads)), {}, Bounds(1, 100_000), 0.0)
    assert sum(loads) <= wanted * target * (1 + 1e-12)
    assert wanted == 1 or sum(loads) > (wanted - 1) * target * (1 - 1e-12)


def test_a_target_must_be_positive() -> None:
    with pytest.raises(Invalid, match="above 0"):
        QueueLength(0)


def context(
    loads: dict[str, float], replicas: int, now: float, state: dict[str, Any], waiting: float = 0.0
) -> SimpleNamespace:
    """Ray Serve's AutoscalingContext, as far as it is read."""
    return SimpleNamespace(
        aggregated_metrics={"in_flight": loads, "p95_s": dict.fromkeys(loads, 0.01)} if loads else None,
        total_queued_requests=waiting,
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
    assert policy(context({}, 0, 20.0, {}, waiting=1.0))[0] == 1


def test_steps_are_bounded_both_ways() -> None:
    policy = QueueLength(target=1, cooldown_s=0, max_step=2)
    assert policy.decide(Figures(3, (10.0,)), {}, Bounds(1, 20), 0.0)[0] == 5
    assert policy.decide(Figures(9, (1.0,)), {}, Bounds(1, 20), 0.0)[0] == 7
    assert policy.decide(Figures(1, (10.0,)), {}, Bounds(6, 20), 0.0)[0] == 10  # below the bounds: they come first


def test_latency_asks_for_the_ratio_but_never_for_more_than_there_are_calls() -> None:
    policy = Latency(target_ms=50, cooldown_s=0)
    size = partial(policy.decide, state={}, bounds=Bounds(1, 100), now=0.0)
    assert size(Figures(2, (8.0, 8.0), (0.1, 0.09)))[0] == 4  # twice the target
    assert size(Figures(2, (8.0, 8.0), (0.054, 0.01)))[0] == 2  # within the tolerance
    assert size(Figures(2, (1.0, 2.0), (5.0, 5.0)))[0] == 3  # slow by itself: more replicas than calls do not help
    assert size(Figures(4, (1.0, 1.0, 0.0, 0.0), (0.01,) * 4))[0] == 2  # a fifth of the target, but two calls run
    assert size(Figures(4, (0.0,) * 4, (9.0,) * 4))[0] == 1  # nobody calls: the percentile is an old one


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_schedule_holds_replicas_at_its_hours_in_its_zone() -> None:
    windows = [
        {"from": "08:00", "to": "18:00", "days": "mon-fri", "replicas": 3},
        {"from": "22:00", "to": "02:00", "days": "sat", "replicas": 5},
    ]
    policy = Schedule(windows, target=10, time_zone="Europe/Berlin", cooldown_s=0)
    size = partial(policy.decide, Figures(1, (1.0,)), {}, Bounds(1, 8))
    assert size(at("2026-11-20T07:30:00+00:00"))[0] == 3  # Friday 08:30 in Berlin
    assert size(at("2026-11-20T06:30:00+00:00"))[0] == 1
    assert size(at("2026-11-20T17:00:00+00:00"))[0] == 1  # 18:00: over
    assert size(at("2026-11-21T12:00:00+00:00"))[0] == 1  # Saturday noon
    assert size(at("2026-11-22T00:30:00+00:00"))[0] == 5  # Sunday 01:30: Saturday's window
    assert policy.decide(Figures(1, (61.0,)), {}, Bounds(1, 8), at("2026-11-20T08:00:00+00:00"))[0] == 7


@pytest.mark.parametrize(
    ("windows", "problem"),
    [
        ([], "at least one window"),
        ([{"from": "8", "to": "18:00", "replicas": 1}], "time '8'"),
        ([{"from": "08:00", "to": "25:00", "replicas": 1}], "time '25:00'"),
        ([{"from": "08:00", "to": "18:00", "replicas": -1}], "whole number"),
        ([{"from": "08:00", "to": "18:00", "replicas": 1, "days": "mo"}], "days 'mo'"),
        ([{"from": "08:00", "to": "18:00", "replica": 1}], "not understood"),
    ],
)
def test_a_window_that_is_not_understood_is_refused(windows: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        Schedule(windows)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(Invalid, match="Europe/Berlin"):
        Schedule([{"from": "08:00", "to": "18:00", "replicas": 1}], time_zone="Mars/North")


@given(st.floats(0, 1e6), st.floats(0, 100), st.integers(1, 50))
def test_latency_never_grows_below_its_target_nor_shrinks_above(calls: float, p95_s: float, replicas: int) -> None:
    seen = Figures(replicas, (calls / replicas,) * replicas, (p95_s,) * replicas)
    wanted, _ = Latency(target_ms=50, cooldown_s=0).decide(seen, {}, Bounds(1, 1000), 0.0)
    if p95_s < 0.05:
        assert wanted <= replicas
    elif calls >= replicas:
        assert wanted >= replicas
