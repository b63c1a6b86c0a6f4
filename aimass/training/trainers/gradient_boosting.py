"""Gradient boosting on binned features: trees that mend each other's errors; takes raw features."""

from typing import Any

from aimass.training.space import Parameters
from aimass.training.trainers.base import Trainer


class GradientBoostingTrainer(Trainer):
    """scikit-learn's histogram boosting; no early stopping, which would hold back rows of every fold."""

    parameters = frozenset(
        {
            *("learning_rate", "max_iter", "max_leaf_nodes", "max_depth", "max_features", "min_samples_leaf"),
            *("l2_regularization", "max_bins", "class_weight"),
        }
    )

    def _estimator(self, parameters: Parameters, seed: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(**parameters, early_stopping=False, random_state=seed)
