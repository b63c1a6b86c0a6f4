"""The combiners, held to the kit, to arithmetic by hand and to scikit-learn's VotingClassifier."""

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.naive_bayes import GaussianNB

from aimass.core import plugins
from aimass.core.errors import Invalid
from aimass.ensembling.combiners import COMBINERS
from aimass.ensembling.combiners.base import Combiner
from aimass.ensembling.combiners.mean import MeanCombiner
from aimass.ensembling.combiners.weighted import WeightedCombiner
from aimass.testing.combiners import CombinerConformance


class TestMean(CombinerConformance):
    def make(self, members: int) -> Combiner:
        return MeanCombiner()


class TestWeighted(CombinerConformance):
    def make(self, members: int) -> Combiner:
        return WeightedCombiner(tuple(1.0 + 0.3 * index for index in range(members)))


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


@pytest.mark.parametrize("weights", [None, (), (0.0, 0.0), (-1.0, 2.0), (float("nan"), 1.0), (float("inf"), 1.0)])
def test_bad_weights_are_refused(weights: tuple[float, ...] | None) -> None:
    with pytest.raises(Invalid) as caught:
        WeightedCombiner(weights)
    assert caught.value.field == "weights"


def test_mean_takes_no_weights() -> None:
    with pytest.raises(Invalid, match="no weights"):
        MeanCombiner((1.0,))


def test_weights_must_match_the_members() -> None:
    member = np.ones((1, 1), np.float32)
    with pytest.raises(Invalid, match="2 weights for 3 members"):
        WeightedCombiner((1.0, 1.0)).combine([member] * 3)
