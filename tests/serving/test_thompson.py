"""Thompson sampling: its probabilities against drawing from the posteriors, and its regret against uniform choice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from aimass.core.errors import Invalid
from aimass.serving.traffic.best import Beta, Normal, chances
from aimass.serving.traffic.cut import Cut, Pieces, recut
from aimass.serving.traffic.making import make_traffic
from aimass.serving.traffic.rewards import Rewards

DRAWS = 20_000


def of_ones(ones: int, zeros: int) -> Rewards:
    return Rewards(ones + zeros, ones, ones)


counted = st.builds(of_ones, st.integers(0, 300), st.integers(0, 300)).filter(lambda rewards: rewards.count >= 2)


@settings(max_examples=40)
@given(st.lists(counted, min_size=2, max_size=4), st.integers(0, 2**32 - 1))
def test_the_probabilities_are_the_frequencies_of_drawing_from_the_posteriors(earned: list[Rewards], seed: int) -> None:
    """Within what 20,000 draws can differ by chance once in a million."""
    random = np.random.default_rng(seed)
    drawn = np.array([random.beta(1 + r.total, 1 + r.count - r.total, DRAWS) for r in earned])
    counts = np.bincount(drawn.argmax(axis=0), minlength=len(earned))
    for chance, count in zip(chances([Beta.of(item) for item in earned]), counts, strict=True):
        low, _ = binom.interval(1 - 1e-6, DRAWS, max(0.0, chance - 1e-3))
        _, high = binom.interval(1 - 1e-6, DRAWS, min(1.0, chance + 1e-3))
        assert low <= count <= high


def test_two_normal_posteriors_are_compared_as_by_hand() -> None:
    """P(a > b) = Φ(difference of means / root of the sum of squared errors) = Φ(1 / 1)."""
    found = chances([Normal(2.0, 0.6), Normal(1.0, 0.8)])
    assert found == pytest.approx([0.8413447, 0.1586553], abs=1e-3)


def test_nobody_is_better_than_its_equal() -> None:
    assert chances([Beta(3.0, 4.0), Beta(3.0, 4.0)]) == pytest.approx([0.5, 0.5], abs=1e-3)
    same = Rewards(50, 50.0, 50.0)
    traffic = make_traffic("thompson", {1: 90.0, 2: 10.0}, {"posterior": "normal"})
    assert traffic.shares(0, {1: same, 2: same}) == pytest.approx({1: 50, 2: 50}, abs=0.1)


def test_shares_move_once_every_revision_has_rewards_enough_and_none_starves() -> None:
    traffic = make_traffic("thompson", {1: 95.0, 2: 5.0}, {"least": 50, "floor": 2})
    assert traffic.shares(9, {1: of_ones(10, 990), 2: of_ones(40, 9)}) == {1: 95.0, 2: 5.0}
    shares = traffic.shares(9, {1: of_ones(10, 990), 2: of_ones(41, 9)})
    assert shares == pytest.approx({1: 2.0, 2: 98.0})


def test_rewards_that_beta_cannot_mean_are_refused_with_the_way_out() -> None:
    big = {1: Rewards(50, 500.0, 6000.0), 2: Rewards(50, 400.0, 4000.0)}
    with pytest.raises(Invalid, match="posterior=normal"):
        make_traffic("thompson", {1: 50.0, 2: 50.0}).shares(0, big)
    shares = make_traffic("thompson", {1: 50.0, 2: 50.0}, {"posterior": "normal"}).shares(0, big)
    assert shares[1] > 95


@pytest.mark.parametrize("posterior", ["beta", "normal"])
def test_its_regret_is_a_small_part_of_that_of_uniform_choice(posterior: str) -> None:
    """20,000 calls to revisions that succeed in 20, 25 and 35 of 100; shares refreshed every 200 calls.

    A call to revision i costs 0.35 - p_i; chosen uniformly, that is (0.15 + 0.10 + 0) / 3 a call: 1,667 in all. The
    floor of 1 % alone costs 0.01 · (0.15 + 0.10) · 20,000 = 50.
    """
    chance = {1: 0.20, 2: 0.25, 3: 0.35}
    uniform = 20_000 * (0.15 + 0.10) / 3
    random = np.random.default_rng(7)
    traffic = make_traffic("thompson", dict.fromkeys(chance, 100 / 3), {"posterior": posterior})
    earned = dict.fromkeys(chance, (0, 0))
    pieces: Pieces = ()
    regret = 0.0
    for start in range(0, 20_000, 200):
        rewards = {number: of_ones(ones, count - ones) for number, (ones, count) in earned.items()}
        pieces = recut(pieces, traffic.shares(start, rewards))
        cut = Cut(pieces)
        for call in range(start, start + 200):
            number = cut.choose(f"call-{call}")
            ones, count = earned[number]
            earned[number] = (ones + int(random.random() < chance[number]), count + 1)
            regret += 0.35 - chance[number]
    assert 50 < regret < uniform / 5
