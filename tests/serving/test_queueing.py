"""Waiting times against closed formulas and against a simulated queue."""

import math
import random

import pytest

from aimass.serving.planner.queueing import erlang_c, spread_of, waiting


def test_one_server_is_pollaczek_and_khinchine() -> None:
    for spread in (0.0, 1.0, 2.5):
        found = waiting(rate=80, service_s=0.01, servers=1, spread=spread)
        assert found is not None
        assert found.mean_s == pytest.approx(0.8 * 0.01 / (1 - 0.8) * (1 + spread) / 2)
        assert found.chance == pytest.approx(0.8)


@pytest.mark.parametrize(("servers", "offered"), [(1, 0.3), (2, 1.2), (5, 4.5), (40, 30.0)])
def test_erlang_c_is_the_sum_that_defines_it(servers: int, offered: float) -> None:
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    rest = sum(offered**k / math.factorial(k) for k in range(servers))
    assert erlang_c(servers, offered) == pytest.approx(last / (rest + last))


def test_too_much_is_said() -> None:
    assert waiting(100, 0.01, 1) is None
    assert waiting(100, 0.01, 2) is not None


def test_quantiles_of_a_simulated_queue() -> None:
    """M/M/2 at 60 %: two servers, exponential times, 100,000 arrivals by a fixed seed."""
    rng, clock, free, waits = random.Random(3), 0.0, [0.0, 0.0], []
    for _ in range(100_000):
        clock += rng.expovariate(120)
        server = min(range(2), key=free.__getitem__)
        begin = max(clock, free[server])
        free[server] = begin + rng.expovariate(100)
        waits.append(begin - clock)
    found = waiting(120, 0.01, 2, spread=1.0)
    assert found is not None
    assert found.mean_s == pytest.approx(sum(waits) / len(waits), rel=0.06)
    assert found.quantile_s(0.95) == pytest.approx(sorted(waits)[95_000], rel=0.08)
    assert found.quantile_s(0.2) == 0


def test_spread_of_a_lognormal() -> None:
    assert spread_of(1.0, math.exp(1.6449)) == pytest.approx(math.e - 1, rel=1e-3)
    assert spread_of(1.0, 1.0) == 0
