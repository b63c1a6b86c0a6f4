"""Logistic regression: a linear model, wants features of one scale."""

from typing import Any

from aimass.training.space import Parameters
from aimass.training.trainers.base import Trainer


class LogisticRegressionTrainer(Trainer):
    """Multinomial, by L-BFGS; deterministic, so the seed is not used."""

    parameters = frozenset({"C", "class_weight", "fit_intercept", "max_iter", "tol"})

    def _estimator(self, parameters: Parameters, seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(**{"max_iter": 500, **parameters})
