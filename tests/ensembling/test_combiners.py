"""The combiners, held to the kit, to arithmetic by hand and to scikit-learn's VotingClassifier."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.naive_bayes import GaussianNB

from aimass.core import plugins
from aimass.core.batch import Array
from aimass.core.errors import Invalid, Unavailable
from aimass.ensembling.combiners import COMBINERS
from aimass.ensembling.combiners.base import Combiner
from aimass.ensembling.combiners.mean import MeanCombiner
from aimass.ensembling.combiners.median import MedianCombiner
from aimass.ensembling.combiners.rank import RankCombiner
from aimass.ensembling.combiners.stack import StackCombiner
from aimass.ensembling.combiners.vote import VoteCombiner
from aimass.ensembling.combiners.weighted import WeightedCombiner
from aimass.testing.combiners import CombinerConformance, probabilities, tied


class TestMean(CombinerConformance):
    def make(self, members: int) -> Combiner:
        return MeanCombiner()


class TestWeighted(CombinerConformance):
    def make(self, members: int) -> Combiner:
        return WeightedCombiner(tuple(1.0 + 0.3 * index for index in range(members)))


class TestMedian(CombinerConformance):
    def make(self, members: int) -> Combiner:
        return MedianCombiner()


class TestRank(CombinerConformance):
    believes = False

    def make(self, members: int) -> Combiner:
        return RankCombiner()


class TestStack(CombinerConformance):
    def make(self, members: int) -> Combiner:
        return StackCombiner()


class TestVote(CombinerConformance):
    believes = False

    def make(self, members: int) -> Combiner:
        return VoteCombiner()


class TestWeightedVote(CombinerConformance):
    believes = False

    def make(self, members: int) -> Combiner:
        return VoteCombiner(tuple(1.0 + 0.3 * index for index in range(members)))


def test_every_combiner_is_held_to_the_kit() -> None:
    held = {type(kit().make(1)) for kit in CombinerConformance.__subclasses__()}
    assert {plugins.load(COMBINERS, key) for key in COMBINERS} <= held


def test_weighted_by_hand() -> None:
    a = np.array([[0.5, 0.5], [1.0, 0.0]], np.float32)
    b = np.array([[0.0, 1.0], [0.5, 0.5]], np.float32)
    combined = WeightedCombiner((3.0, 1.0)).combine([a, b])
    np.testing.assert_array_equal(combined, np.array([[0.375, 0.625], [0.875, 0.125]], np.float32))


@pytest.mark.parametrize("weights", [None, (0.2, 0.8), (3.0, 1.0)])
def test_agrees_with_scikit_learn(weights: tuple[float, ...] | None) -> None:
    x, y = load_wine(return_X_y=True)
    voting = VotingClassifier(
        [("bayes", GaussianNB()), ("forest", RandomForestClassifier(10, random_state=0))],
        voting="soft",
        weights=None if weights is None else list(weights),
    ).fit(x, y)
    members = [member.predict_proba(x).astype(np.float32) for member in voting.estimators_]
    combiner: Combiner = MeanCombiner() if weights is None else WeightedCombiner(weights)
    np.testing.assert_allclose(combiner.combine(members), voting.predict_proba(x), atol=1e-6)


@pytest.mark.parametrize("weights", [None, (2.0, 1.0, 1.5)])
def test_the_vote_agrees_with_scikit_learn(weights: tuple[float, ...] | None) -> None:
    x, y = load_wine(return_X_y=True)
    members = [("bayes", GaussianNB()), ("low", RandomForestClassifier(2, max_depth=1, random_state=0))]
    members.append(("forest", RandomForestClassifier(3, max_depth=2, random_state=1)))
    voting = VotingClassifier(members, voting="hard", weights=None if weights is None else list(weights)).fit(x, y)
    given = [member.predict_proba(x).astype(np.float32) for member in voting.estimators_]
    assert (VoteCombiner(weights).combine(given).argmax(axis=1) == voting.predict(x)).all()


@pytest.mark.parametrize("made", [probabilities, tied])
def test_ranks_are_those_of_scipy(made: Callable[..., list[Array]]) -> None:
    members = made(3, 50, 6, seed=9)
    ranks = sum(stats.rankdata(member, axis=1) for member in members)
    np.testing.assert_allclose(RankCombiner().combine(members), ranks / (3 * 21), rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_median_is_numpys(count: int) -> None:
    members = probabilities(count, 40, 5, seed=count)
    median = np.median(np.stack(members).astype(np.float64), axis=0)
    wanted = median / median.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(MedianCombiner().combine(members), wanted, rtol=1e-6, atol=1e-7)


def test_members_that_contradict_each_other_in_all_leave_the_mean() -> None:
    certain = list(np.eye(3, dtype=np.float32)[:, None, :])
    np.testing.assert_allclose(MedianCombiner().combine(certain), np.full((1, 3), 1 / 3), rtol=1e-6)


def test_votes_by_hand() -> None:
    """Two against one; one each, where the earlier class wins; a tie inside a member, which votes for the earlier."""
    a = np.array([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.5, 0.0, 0.5]], np.float32)
    b = np.array([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8], [0.0, 0.0, 1.0]], np.float32)
    c = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.4, 0.3, 0.3]], np.float32)
    combined = VoteCombiner().combine([a, b, c])
    np.testing.assert_allclose(combined, np.array([[2, 0, 1], [1, 1, 1], [2, 0, 1]]) / 3, rtol=1e-6)
    assert combined.argmax(axis=1).tolist() == [0, 0, 0]


def test_a_stack_takes_members_of_any_width() -> None:
    members = [np.full((2, width), width, np.float32) for width in (1, 3)]
    assert StackCombiner().combine(members).tolist() == [[1.0, 3.0, 3.0, 3.0]] * 2


def test_members_of_no_weight_are_not_enough() -> None:
    (member,) = probabilities(1, 3, 2, seed=0)
    with pytest.raises(Unavailable, match="1 of 2"):
        WeightedCombiner((1.0, 0.0)).combine_present([None, member])


@pytest.mark.parametrize("weights", [None, (), (0.0, 0.0), (-1.0, 2.0), (float("nan"), 1.0), (float("inf"), 1.0)])
def test_bad_weights_are_refused(weights: tuple[float, ...] | None) -> None:
    with pytest.raises(Invalid) as caught:
        WeightedCombiner(weights)
    assert caught.value.field == "weights"


@pytest.mark.parametrize("kind", [MeanCombiner, MedianCombiner, RankCombiner, StackCombiner])
def test_most_take_no_weights(kind: type[Combiner]) -> None:
    with pytest.raises(Invalid, match="no weights"):
        kind((1.0,))


def test_weights_must_match_the_members() -> None:
    member = np.ones((1, 1), np.float32)
    with pytest.raises(Invalid, match="2 weights for 3 members"):
        WeightedCombiner((1.0, 1.0)).combine([member] * 3)
