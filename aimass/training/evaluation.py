"""How good predictions are: metrics that are means over rows, so that intervals come from resampling rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import NotFound

RESAMPLES = 1000
CONFIDENCE = 0.95
_SMALLEST = float(np.finfo(np.float32).eps)  # as scikit-learn clips float32 probabilities


@dataclass(frozen=True)
class Metric:
    """``per_row(labels, probabilities)`` gives one FP64 number per row; the metric is their mean."""

    name: str
    higher_is_better: bool
    per_row: Callable[[Array, Array], Array]

    def value(self, labels: Array, probabilities: Array) -> float:
        return float(self.per_row(labels, probabilities).mean())

    def score(self, labels: Array, probabilities: Array) -> float:
        """The value, turned so that higher is better."""
        value = self.value(labels, probabilities)
        return value if self.higher_is_better else -value


@dataclass(frozen=True)
class Interval:
    """A value and its bootstrap interval."""

    value: float
    low: float
    high: float


def _hits(labels: Array, probabilities: Array) -> Array:
    hits: Array = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    return hits


def _surprise(labels: Array, probabilities: Array) -> Array:
    """Minus the logarithm of what the true class was given."""
    given = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    surprise: Array = -np.log(np.clip(given, _SMALLEST, 1 - _SMALLEST))
    return surprise


METRICS = {
    "accuracy": Metric("accuracy", True, _hits),
    "log_loss": Metric("log_loss", False, _surprise),
}


def find_metric(name: str) -> Metric:
    """One of ``METRICS``."""
    if name not in METRICS:
        raise NotFound(f"no metric {name!r}; there are: {', '.join(METRICS)}")
    return METRICS[name]


def bootstrap(per_row: Array, seed: int, resamples: int = RESAMPLES, confidence: float = CONFIDENCE) -> Interval:
    """The mean and its percentile interval over resampled rows; the same seed resamples the same rows.

    Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    generator = np.random.default_rng(seed)
    means = np.array([per_row[generator.integers(0, len(per_row), len(per_row))].mean() for _ in range(resamples)])
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(per_row.mean()), float(low), float(high))


def confusion(labels: Array, probabilities: Array, classes: int) -> Array:
    """INT64 [true, predicted] counts."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    return counts
