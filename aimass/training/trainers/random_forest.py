"""Random forest: averaged trees on resampled rows; takes raw features."""

from typing import Any

from aimass.training.space import Parameters
from aimass.training.trainers.base import Trainer


class RandomForestTrainer(Trainer):
    """One process: the trials around it already use every core."""

    parameters = frozenset(
        {
            *("n_estimators", "max_depth", "max_features", "max_leaf_nodes", "max_samples"),
            *("min_samples_leaf", "min_samples_split", "class_weight", "criterion", "bootstrap"),
        }
    )

    def _estimator(self, parameters: Parameters, seed: int) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(**parameters, random_state=seed, n_jobs=1)
