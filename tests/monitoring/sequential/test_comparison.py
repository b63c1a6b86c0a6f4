"""The sequential test against arithmetic by hand, exact enumeration, and rollouts drawn at random."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from aimass.core.errors import Invalid
from aimass.monitoring.sequential.bounds import rate_bounds
from aimass.monitoring.sequential.comparison import EFFECTS, Comparison
from aimass.monitoring.sequential.limit import Limit, project
from benchmarks.guards_simulation import World, fixed_sample, simulate, whole_rollouts

DEFAULT = Limit(1.1, 0.001)
ALPHA = 0.05
rates = st.floats(0.001, 0.9)
limits = st.builds(Limit, st.sampled_from([1.0, 1.1, 1.5]), st.sampled_from([0.001, 0.05, 0.2]))


def divergence(p: float, q: float) -> float:
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


@given(limits, rates, st.floats(0.05, 0.95), st.integers(1, 500), st.integers(1, 500))
def test_the_nearest_allowed_pair_is_that_of_a_general_optimiser(
    limit: Limit, p0: float, how_bad: float, n0: int, n1: int
) -> None:
    allowed = float(limit.of(np.array(p0)))
    p1 = allowed + how_bad * (1 - allowed)
    if p1 >= 1 - 1e-9:
        return
    arrays = ((np.array(p0), np.array(p1)), (np.array(float(n0)), np.array(float(n1))))
    q0, q1 = (float(item) for item in project(limit, *arrays))

    def away(q: float) -> float:
        return n0 * divergence(p0, q) + n1 * divergence(p1, limit.ratio * q + limit.rise)

    top = min((p1 - limit.rise) / limit.ratio, 1 - 1e-9)
    best = optimize.minimize_scalar(away, bounds=(p0, max(top, p0 + 1e-12)), method="bounded", options={"xatol": 1e-12})
    assert q1 == pytest.approx(limit.ratio * q0 + limit.rise)
    assert away(q0) <= best.fun + 1e-6 * (1 + abs(best.fun))


@given(
    limits,
    rates,
    st.floats(0, 1),
    st.integers(1, 3),
    st.integers(1, 3),
    st.tuples(st.integers(0, 60), st.integers(60, 80)),
)
def test_what_a_block_multiplies_by_has_no_gain_within_the_limit(
    limit: Limit, q0: float, part: float, n0: int, n1: int, known: tuple[int, int]
) -> None:
    """Its expectation over every outcome of a block, for any allowed pair of rates, is at most 1."""
    q1 = part * float(limit.of(np.array(q0)))
    before = Comparison.open(limit, known=known)
    mean = 0.0
    for bad0, bad1 in itertools.product(range(n0 + 1), range(n1 + 1)):
        after = before.look((bad0, n0), (bad1, n1))
        chance = stats.binom.pmf(bad0, n0, q0) * stats.binom.pmf(bad1, n1, q1)
        mean += chance * math.exp(float(after.log_evidence))
    assert mean <= 1 + 1e-9


def test_one_look_by_hand() -> None:
    """No baseline: 1 % are allowed, bets are on k %; 3 of 10 went badly."""
    after = Comparison.open(Limit(0.0, 0.01)).look((0, 0), (3, 10))
    bets = np.minimum(0.01 * EFFECTS, 1 - 0.99 / EFFECTS)
    expected = np.mean((bets / 0.01) ** 3 * ((1 - bets) / 0.99) ** 7)
    assert math.exp(float(after.log_evidence)) == pytest.approx(expected)


def test_nothing_is_bet_on_a_baseline_that_nobody_knows() -> None:
    fresh = Comparison.open(DEFAULT)
    first = fresh.look((0, 10), (10, 10))
    assert float(first.log_evidence) == 0.0
    assert float(first.look((0, 10), (10, 10)).look((0, 10), (10, 10)).log_evidence) > math.log(1000)


def test_trials_of_one_revision_alone_say_nothing() -> None:
    known = Comparison.open(DEFAULT, known=(10, 1000))
    for baseline, candidate in (((500, 1000), (0, 0)), ((0, 0), (50, 50))):
        assert float(known.look(baseline, candidate).log_evidence) == pytest.approx(0.0, abs=1e-3)


def test_one_look_counts_for_no_more_than_its_cap() -> None:
    known = Comparison.open(DEFAULT, known=(10, 1000), cap=10.0)
    assert float(known.look((0, 100), (100, 100)).log_evidence) == pytest.approx(math.log(10))


def test_a_start_forgets_what_was_good_for_long() -> None:
    """After 100,000 good requests, the same bad ones are seen only where a start counts them by themselves."""
    good = Comparison.open(DEFAULT, starts=2, known=(10, 1000))
    for _ in range(100):
        good = good.look((10, 1000), (10, 1000))
    bad = [item.look((10, 1000), (60, 1000)) for item in (good, good.start())]
    assert float(bad[0].log_evidence) < math.log(20) < float(bad[1].log_evidence)


def test_bounds_hold_the_true_rate_at_all_looks_at_once() -> None:
    rng = np.random.default_rng(7)
    for rate in (0.01, 0.3):
        draws = rng.random((400, 1000)) < rate
        bad = draws.cumsum(axis=1)
        level = [_widest(counts, rate) for counts in bad]
        assert np.mean(level) <= ALPHA
    assert rate_bounds(0, 0) == (0.0, 1.0)
    low, high = rate_bounds(10, 1000)
    assert 0.002 < low < 0.01 < high < 0.03


def _widest(bad: "np.ndarray[tuple[int], np.dtype[np.int64]]", rate: float) -> bool:
    """Whether the bounds leave the true rate out at some look."""
    trials = np.arange(1, len(bad) + 1)
    mixture = stats.beta.logpdf(rate, bad + 1, trials - bad + 1)  # the posterior's density, which the bounds cut
    is_low = np.flatnonzero(mixture < math.log(ALPHA) + 1e-9)
    return any(not _within(rate_bounds(int(bad[i]), int(trials[i]), ALPHA), rate) for i in is_low[:1])


def _within(bounds: tuple[float, float], rate: float) -> bool:
    return bounds[0] <= rate <= bounds[1]


@pytest.mark.parametrize("pattern", [(1, 1), (19, 1)])
@pytest.mark.parametrize("candidate", [0.01, 0.012])
def test_fewer_than_one_in_twenty_healthy_rollouts_is_called_bad_with_a_look_after_every_request(
    pattern: tuple[int, int], candidate: float
) -> None:
    """As good as the baseline, and just as bad as is allowed; the repeated z-test is wrong far more often."""
    found = simulate(World(0.01, candidate, pattern), DEFAULT, ALPHA, (1000, 10_000 * sum(pattern) // 2), seed=4)
    assert found.share("guard") < ALPHA
    if candidate == 0.012:
        assert found.share("repeated") > 3 * ALPHA


def test_fewer_than_one_in_twenty_whole_rollouts_is_returned_by_any_of_three_guards() -> None:
    """All steps, calls spread by the toss of a coin, looks that count for no more than the cap."""
    at_the_limit = {"errors": (0.01, 0.012), "latency": (0.05, 0.105), "cost": (0.0, 0.5)}
    assert whole_rollouts(at_the_limit, 1000, looks=30, calls=200, seed=6) < ALPHA
    too_slow = {**at_the_limit, "latency": (0.05, 0.3)}
    assert whole_rollouts(too_slow, 50, looks=30, calls=200, seed=6) == 1.0


def test_errors_that_double_are_caught_in_about_as_many_requests_as_a_fixed_sample_needs() -> None:
    """From 1 % to 2 %, half of the calls each."""
    world = World(0.01, 0.02)
    found = simulate(world, DEFAULT, ALPHA, (500, 40_000), seed=5)
    fixed = fixed_sample(world, DEFAULT, ALPHA, power=0.9)
    assert found.share("guard") > 0.99
    assert found.quantile("guard", 0.5) < fixed * 1.3
    assert found.quantile("guard", 0.9) < fixed * 2.5


def test_the_fixed_sample_by_hand() -> None:
    """(1.645 + 0.842)² · (0.0099 + 0.0196) / 0.01² = 1,824 pairs."""
    assert fixed_sample(World(0.01, 0.02), Limit(1.0, 0.0), 0.05, 0.8) / 2 == pytest.approx(1824, rel=1e-3)


@pytest.mark.parametrize(("ratio", "rise"), [(0.5, 0.1), (1.0, -0.1), (1.0, 1.0), (0.0, 0.0)])
def test_a_limit_that_makes_no_sense_is_refused(ratio: float, rise: float) -> None:
    with pytest.raises(Invalid):
        Limit(ratio, rise)
