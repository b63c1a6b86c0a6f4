"""The simulated deployment against queues that arithmetic can tell."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.serving.autoscaling.base import Autoscaling, Bounds
from aimass.serving.autoscaling.latency import Latency
from aimass.serving.autoscaling.queue_length import QueueLength
from benchmarks.autoscaling import traces
from benchmarks.autoscaling.simulation import Deployment, simulate

FIXED = Deployment(call_s=0.25, bounds=Bounds(1, 1))


def test_one_replica_is_a_line_of_people() -> None:
    outcome = simulate([0.0, 0.0, 0.0, 2.0], QueueLength(1), FIXED)
    assert outcome.latencies_s == pytest.approx((0.25, 0.25, 0.5, 0.75))
    assert [second.arrived for second in outcome.seconds] == [3, 0]  # over before the third second ends


def test_threads_answer_beside_each_other() -> None:
    outcome = simulate([0.0] * 4, QueueLength(1), Deployment(call_s=0.25, threads=4, bounds=Bounds(1, 1)))
    assert outcome.latencies_s == pytest.approx((0.25,) * 4)


def test_more_replicas_answer_after_they_have_started() -> None:
    deployment = Deployment(call_s=1.0, start_s=3.0, bounds=Bounds(1, 2))
    outcome = simulate([0.0] * 10, QueueLength(1), deployment)
    sizes = [second.replicas for second in outcome.seconds]
    assert sizes[:3] == [1, 1, 1]
    assert sizes[4] == 2


def test_from_zero_a_call_is_held_until_the_first_replica_is_there() -> None:
    deployment = Deployment(call_s=0.1, start_s=2.0, bounds=Bounds(0, 1))
    outcome = simulate([0.0, 30.0], QueueLength(1, cooldown_s=5), deployment)
    assert min(second.replicas for second in outcome.seconds) == 0
    assert len(outcome.latencies_s) == 2
    assert 2.1 <= outcome.latencies_s[1] <= 2.6 + 1e-9  # asked for at the next look, then the start


@pytest.mark.parametrize("policy", [QueueLength(2), Latency(150)])
def test_a_policy_beats_one_replica_and_gives_back_what_it_took(policy: Autoscaling) -> None:
    arrivals = traces.poisson(traces.burst, seed=3)
    fixed = simulate(arrivals, policy, Deployment(call_s=0.05, bounds=Bounds(1, 1)))
    scaled = simulate(arrivals, policy, Deployment(call_s=0.05))
    assert scaled.percentile_s(95) < fixed.percentile_s(95) / 3
    assert scaled.seconds[-1].replicas < max(second.replicas for second in scaled.seconds)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 40), max_size=200), st.integers(0, 2))
def test_every_call_is_answered_once_and_none_before_its_time(arrivals: list[float], low: int) -> None:
    outcome = simulate(sorted(arrivals), QueueLength(2, cooldown_s=3), Deployment(0.05, bounds=Bounds(low, 4)))
    assert len(outcome.latencies_s) == len(arrivals)
    assert all(latency >= 0.05 - 1e-9 for latency in outcome.latencies_s)


def test_arrivals_of_a_formula_have_its_rate() -> None:
    arrivals = traces.poisson(lambda at: 50 if at < 100 else 10, seed=0, length_s=200)
    first = sum(at < 100 for at in arrivals)
    assert abs(first - 5000) < 4 * 5000**0.5
    assert abs(len(arrivals) - first - 1000) < 4 * 1000**0.5
