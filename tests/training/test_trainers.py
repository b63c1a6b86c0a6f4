"""The trainers, held to the kit and to scikit-learn's own estimators."""

from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from aimass.core import plugins
from aimass.core.errors import Invalid
from aimass.testing.trainers import TrainerConformance, blobs
from aimass.training.space import Parameters
from aimass.training.trainers import TRAINERS
from aimass.training.trainers.base import Trainer
from aimass.training.trainers.cnn import CnnTrainer
from aimass.training.trainers.gradient_boosting import GradientBoostingTrainer
from aimass.training.trainers.logistic_regression import LogisticRegressionTrainer
from aimass.training.trainers.random_forest import RandomForestTrainer
from aimass.training.trainers.svm import SvmTrainer


class TestLogisticRegression(TrainerConformance):
    def make(self) -> Trainer:
        return LogisticRegressionTrainer()


class TestRandomForest(TrainerConformance):
    def make(self) -> Trainer:
        return RandomForestTrainer()

    def parameters(self) -> Parameters:
        return {"n_estimators": 20}


class TestGradientBoosting(TrainerConformance):
    def make(self) -> Trainer:
        return GradientBoostingTrainer()

    def parameters(self) -> Parameters:
        return {"max_iter": 20}


class TestSvm(TrainerConformance):
    def make(self) -> Trainer:
        return SvmTrainer()


@pytest.mark.skipif(find_spec("torch") is None, reason="needs the extra torch")
class TestCnn(TrainerConformance):
    def make(self) -> Trainer:
        return CnnTrainer()

    def parameters(self) -> Parameters:
        return {"epochs": 20, "batch": 16, "width": 4}


def test_every_trainer_is_held_to_the_kit() -> None:
    held = {type(kit().make()) for kit in TrainerConformance.__subclasses__()}
    assert {plugins.load(TRAINERS, key) for key in TRAINERS} <= held


ORACLES = [
    (LogisticRegressionTrainer(), {"C": 0.3}, LogisticRegression(C=0.3, max_iter=500)),
    (RandomForestTrainer(), {"n_estimators": 9}, RandomForestClassifier(n_estimators=9, random_state=3)),
    (GradientBoostingTrainer(), {"max_iter": 9}, HistGradientBoostingClassifier(max_iter=9, random_state=3)),
]


@pytest.mark.parametrize(("trainer", "parameters", "oracle"), ORACLES, ids=lambda item: type(item).__name__)
def test_is_scikit_learn(trainer: Trainer, parameters: Parameters, oracle: LogisticRegression) -> None:
    rows, labels = blobs(200, seed=8)
    ours = trainer.fit(rows, labels, parameters, seed=3).predict_proba(rows)
    np.testing.assert_array_equal(ours, oracle.fit(rows, labels).predict_proba(rows))


@pytest.mark.parametrize(
    ("trainer", "parameters"),
    [
        (LogisticRegressionTrainer(), {"C": -1.0}),
        (RandomForestTrainer(), {"n_estimators": 0}),
        (RandomForestTrainer(), {"max_features": "cube"}),
        (GradientBoostingTrainer(), {"learning_rate": "fast"}),
        (SvmTrainer(), {"kernel": "soft"}),
    ],
)
def test_bad_values_are_refused_as_scikit_learn_does(trainer: Trainer, parameters: Parameters) -> None:
    with pytest.raises(Invalid) as caught:
        trainer.check(parameters)
    assert caught.value.field in parameters
