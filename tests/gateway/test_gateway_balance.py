"""Load figures, and connections that even out after a scale-up."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.gateway.fleet.balance import Balancer, Load
from aimass.gateway.metrics import SECONDS


def _simulate(replicas: int, connections: int, seed: int, seconds: int = 10) -> list[int]:
    """Callers that each keep one connection and call 20 times a second; none begins at the newest replica."""
    random = Random(seed)
    old = max(1, replicas - 1)
    at = [random.randrange(old) for _ in range(connections)]
    balancers = [Balancer(Random(seed + index)) for index in range(replicas)]
    for _ in range(seconds):
        rates = [20.0 * at.count(replica) for replica in range(replicas)]
        for replica, balancer in enumerate(balancers):
            balancer.update(rates[replica], sum(rates) / replicas, at.count(replica), replicas)
        for _ in range(20):
            for caller in range(connections):
                if balancers[at[caller]].closes():
                    at[caller] = random.randrange(replicas)
    return [at.count(replica) for replica in range(replicas)]


@pytest.mark.parametrize(("replicas", "connections"), [(2, 16), (2, 64), (3, 64), (4, 128)])
def test_ten_seconds_after_a_scale_up_load_is_within_a_quarter_of_the_mean(replicas: int, connections: int) -> None:
    worst = []
    for seed in range(40):
        held = _simulate(replicas, connections, seed)
        mean = connections / replicas
        worst.append(max(abs(count - mean) / mean for count in held))
    assert sum(deviation <= 0.25 for deviation in worst) >= 36


def test_a_lone_or_quiet_or_even_replica_closes_nothing() -> None:
    balancer = Balancer(Random(1))
    for mine, mean, replicas in ((1000.0, 1000.0, 1), (3.0, 1.0, 2), (105.0, 100.0, 2), (10.0, 100.0, 2)):
        balancer.update(mine, mean, 50, replicas)
        assert not any(balancer.closes() for _ in range(1000))


@given(mine=st.floats(20, 1e5), mean=st.floats(10, 1e5), connections=st.integers(1, 1000), replicas=st.integers(2, 9))
def test_no_more_connections_are_closed_than_lie_above_the_mean(
    mine: float, mean: float, connections: int, replicas: int
) -> None:
    balancer = Balancer(Random(1))
    balancer.update(mine, mean, connections, replicas)
    closed = sum(balancer.closes() for _ in range(5000))
    surplus = max(0.0, connections * (1 - mean / mine))
    assert closed <= max(1, surplus * replicas / (replicas - 1) + 1)
    if mine <= mean:
        assert closed == 0


def test_in_flight_is_what_is_counted_and_what_waits_for_the_loop() -> None:
    load = Load()
    load.sample_requests(2000, 1.0)
    assert load.requests_per_s == 2000
    assert load.in_flight(3) == 3
    for _ in range(100):
        load.sample_lag(0.01)
    assert load.in_flight(3) == pytest.approx(23, rel=1e-3)  # Little: 2,000 a second that each wait 10 ms
    load.sample_requests(2500, 0.5)
    assert load.requests_per_s == 1000


def test_the_percentile_is_that_of_the_last_ten_seconds() -> None:
    load = Load()
    assert load.p95_s is None
    slow, quick = [0] * (len(SECONDS) + 1), [0] * (len(SECONDS) + 1)
    slow[SECONDS.index(1.0)] = 100
    load.sample_seconds([0] * (len(SECONDS) + 1))
    load.sample_seconds(slow)
    assert load.p95_s == 1.0
    for second in range(1, 12):
        quick = list(slow)
        quick[SECONDS.index(0.001)] = 10 * second
        load.sample_seconds(quick)
    assert load.p95_s == 0.001
    beyond = list(quick)
    beyond[-1] = 1000
    load.sample_seconds(beyond)
    assert load.p95_s == SECONDS[-1]
    for _ in range(11):
        load.sample_seconds(beyond)
    assert load.p95_s is None
