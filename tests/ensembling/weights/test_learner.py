"""The learner against its theorem, a plain second implementation, and scipy's best fixed shares."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.weights.hindsight import best_shares
from aimass.ensembling.weights.learner import MIXED, learn, losses_of

SEEDS = st.integers(0, 2**32 - 1)


def _stream(seed: int, rows: int, count: int, classes: int, sharpness: float) -> tuple[Array, Array]:
    """Members that are right in turns: who is good changes along the stream. ``sharpness`` 0: certain of one class."""
    random = np.random.default_rng(seed)
    right = random.integers(0, classes, rows)
    members = random.dirichlet(np.full(classes, max(sharpness, 1e-3)), (rows, count))
    for start in range(0, rows, max(1, rows // 3)):
        good = random.integers(0, count)
        part = slice(start, start + max(1, rows // 3))
        members[part, good] = 0.3 * members[part, good] + 0.7 * np.eye(classes)[right[part]]
    return members, right


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.integers(1, 120), st.integers(1, 5), st.integers(2, 6), st.floats(0, 2), st.booleans())
def test_regret_never_exceeds_the_bound(
    seed: int, rows: int, count: int, classes: int, sharpness: float, has_prior: bool
) -> None:
    members, right = _stream(seed, rows, count, classes, sharpness)
    prior = tuple(np.random.default_rng(seed).random(count) + 1e-3) if has_prior else None
    learnt = learn(members, right, prior)
    _, least = best_shares(members, right)
    assert learnt.losses.sum() - least <= learnt.bound[-1] + 1e-9
    smallest = (1 - MIXED) * min(prior) / sum(prior) + MIXED / count if prior else 1 / count
    assert learnt.bound[-1] == pytest.approx(4 * math.sqrt(max(0.0, rows * math.log(1 / smallest))), abs=1e-6)
    assert learnt.shares.min() >= 0
    assert learnt.shares.sum(axis=1) == pytest.approx(1)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(0, 60))
def test_an_adversary_cannot_break_the_bound(seed: int, rows: int) -> None:
    """The class is always that on which the learner just now bets least."""
    random = np.random.default_rng(seed)
    members = np.eye(2)[random.integers(0, 2, (rows + 1, 3))]
    right = np.zeros(rows + 1, np.int64)
    for row in range(rows + 1):
        shares = learn(members[: row + 1], right[: row + 1]).shares[row]
        right[row] = int(np.argmin(shares @ members[row]))
    learnt = learn(members, right)
    assert learnt.losses.sum() - best_shares(members, right)[1] <= learnt.bound[-1]


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 60), st.integers(1, 4), st.integers(2, 4))
def test_best_fixed_shares_are_scipys(seed: int, rows: int, count: int, classes: int) -> None:
    members, right = _stream(seed, rows, count, classes, 1.0)
    shares, least = best_shares(members, right)
    assert losses_of(shares, members, right).sum() == pytest.approx(least, abs=1e-8)
    found = minimize(
        lambda weights: losses_of(weights, members, right).sum(),
        np.full(count, 1 / count),
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        tol=1e-12,
    )
    assert least <= found.fun + 1e-6


def test_steps_by_hand() -> None:
    """Two certain members that disagree; the first is right twice."""
    members = np.array([[[1.0, 0.0], [0.0, 1.0]]] * 2)
    learnt = learn(members, np.array([0, 0]))
    k = math.log(2)
    gradients = 2 * np.array([-0.5, 0.5])  # at (1/2, 1/2): p - e = (-1/2, 1/2)
    first = np.exp(-2 * math.sqrt(k / 2) / 4 * gradients)
    assert learnt.losses[0] == pytest.approx(0.5)
    assert learnt.shares[1] == pytest.approx(first / first.sum())
    assert learnt.final[0] > learnt.shares[1][0] > 0.5


def test_who_turns_good_gets_the_share() -> None:
    random = np.random.default_rng(0)
    right = random.integers(0, 3, 4000)
    good, bad = 0.9 * np.eye(3)[right] + 0.1 / 3, np.full((4000, 3), 1 / 3)
    members = np.stack([np.where(np.arange(4000)[:, None] < 1000, bad, good), np.full((4000, 3), 1 / 3)], axis=1)
    learnt = learn(members, right, (0.0, 1.0))
    assert learnt.shares[1000][0] < 0.1
    assert learnt.final[0] > 0.9


@pytest.mark.parametrize(
    ("members", "right"),
    [
        (np.ones((2, 2)), np.zeros(2, np.int64)),
        (np.full((1, 2, 2), 0.7), np.zeros(1, np.int64)),
        (np.full((1, 2, 2), np.nan), np.zeros(1, np.int64)),
        (np.full((1, 2, 2), 0.5), np.array([2])),
        (np.full((1, 2, 2), 0.5), np.zeros(2, np.int64)),
    ],
)
def test_what_is_no_probability_is_refused(members: Array, right: Array) -> None:
    with pytest.raises(Invalid):
        learn(members, right)
