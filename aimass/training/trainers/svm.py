"""Support vector machine with calibrated probabilities; wants features of one scale."""

from typing import Any

from aimass.training.space import Parameters
from aimass.training.trainers.base import Trainer

CALIBRATION_FOLDS = 3


class SvmTrainer(Trainer):
    """One machine on all rows, its decision turned into probabilities by a sigmoid fitted on seeded folds.

    scikit-learn names this as what replaces ``SVC(probability=True)``, which is deprecated since 1.9.
    """

    parameters = frozenset({"C", "gamma", "kernel", "degree", "coef0", "class_weight", "tol"})

    def _estimator(self, parameters: Parameters, seed: int) -> Any:
        from sklearn.svm import SVC

        return SVC(**parameters, random_state=seed)

    def _build(self, parameters: Parameters, seed: int) -> Any:
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.model_selection import StratifiedKFold

        folds = StratifiedKFold(CALIBRATION_FOLDS, shuffle=True, random_state=seed)
        return CalibratedClassifierCV(self._estimator(parameters, seed), ensemble=False, cv=folds)
