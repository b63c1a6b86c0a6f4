"""One configuration: fitted on given rows, or predicted out of fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aimass.core import plugins
from aimass.core.batch import Array
from aimass.data.split import Fold
from aimass.features.transforms import TRANSFORMS
from aimass.features.transforms.base import Transform
from aimass.training.site import Site
from aimass.training.space import Parameters
from aimass.training.trainers import TRAINERS
from aimass.training.trainers.base import Trainer


@dataclass(frozen=True)
class Configuration:
    """What is fitted: a trainer with its parameters, behind a transform or (empty) on raw features."""

    trainer: str
    transform: str
    parameters: Parameters
    seed: int


def make_trainer(key: str, field: str = "trainer") -> Trainer:
    """The trainer of that key, or of an outside ``module:attribute``."""
    return plugins.load_class(TRAINERS, key, Trainer, field)()  # type: ignore[type-abstract]


def fit_transform(key: str, rows: Array, field: str = "transform") -> Transform:
    """The transform of that key, fitted on the rows."""
    return plugins.load_class(TRANSFORMS, key, Transform, field)().fit(rows)  # type: ignore[type-abstract]


def fit(configuration: Configuration, rows: Array, labels: Array, site: Site | None = None) -> Any:
    """The classifier, fitted on rows that its transform has seen already; with a site it may use several processes."""
    return make_trainer(configuration.trainer).fit(rows, labels, configuration.parameters, configuration.seed, site)


def out_of_fold(configuration: Configuration, rows: Array, labels: Array, folds: Sequence[Fold]) -> Array:
    """FP32 [rows, classes]: each row predicted by a model and a transform that saw nothing of its fold."""
    predictions = np.zeros((len(rows), int(labels.max()) + 1), np.float32)
    for fold in folds:
        seen, unseen = rows[fold.fit], rows[fold.predict]
        if configuration.transform:
            transform = fit_transform(configuration.transform, seen)
            seen, unseen = transform.apply(seen), transform.apply(unseen)
        model = fit(configuration, seen, labels[fold.fit])
        predictions[fold.predict] = model.predict_proba(unseen)
    return predictions
