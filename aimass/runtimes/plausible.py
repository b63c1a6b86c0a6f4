"""Rows of the size an estimator was trained on, guessed from what it learned; for when no real rows are at hand."""

from typing import Any

import numpy as np

from aimass.core.batch import Array
from aimass.runtimes.thresholds import list_thresholds, split_steps


def plausible_rows(estimator: Any, n_features: int, rows: int, generator: np.random.Generator) -> Array:
    """FP64 rows, normal around a first scaler's mean, or across the tree thresholds of each feature, or around 0."""
    before, last = split_steps(estimator)
    first = before[0] if before else last
    centre, spread = _of_scaler(first, n_features)
    if not before:
        for feature, (low, high) in _ranges(last).items():
            centre[feature], spread[feature] = (low + high) / 2, max((high - low) / 2, 1e-3)
    made: Array = centre + spread * generator.standard_normal((rows, n_features))
    return made


def _of_scaler(step: Any, n_features: int) -> tuple[Array, Array]:
    if hasattr(step, "data_min_"):
        return (step.data_min_ + step.data_max_) / 2, (step.data_max_ - step.data_min_) / 2
    centre = getattr(step, "mean_", None)
    spread = getattr(step, "scale_", None)
    return (
        np.zeros(n_features) if centre is None else np.array(centre, dtype=np.float64),
        np.ones(n_features) if spread is None else np.array(spread, dtype=np.float64),
    )


def _ranges(model: Any) -> dict[int, tuple[float, float]]:
    found: dict[int, tuple[float, float]] = {}
    for feature, threshold in list_thresholds(model):
        if np.isfinite(threshold):
            low, high = found.get(feature, (threshold, threshold))
            found[feature] = (min(low, threshold), max(high, threshold))
    return found
