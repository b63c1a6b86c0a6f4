"""Metrics against scikit-learn, intervals against theory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from aimass.core.errors import NotFound
from aimass.testing.combiners import probabilities
from aimass.training.evaluation import METRICS, bootstrap, confusion, find_metric


@given(rows=st.integers(1, 60), classes=st.integers(2, 5), seed=st.integers(0, 2**32 - 1))
def test_agrees_with_scikit_learn(rows: int, classes: int, seed: int) -> None:
    (predicted,) = probabilities(1, rows, classes, seed)
    labels = np.random.default_rng(seed + 1).integers(0, classes, rows)
    everything = list(range(classes))
    loss = log_loss(labels, predicted, labels=everything)
    assert METRICS["log_loss"].value(labels, predicted) == pytest.approx(loss, rel=1e-5)
    assert METRICS["log_loss"].score(labels, predicted) == pytest.approx(-loss, rel=1e-5)
    best = predicted.argmax(axis=1)
    assert METRICS["accuracy"].value(labels, predicted) == pytest.approx(accuracy_score(labels, best))
    np.testing.assert_array_equal(
        confusion(labels, predicted, classes), confusion_matrix(labels, best, labels=everything)
    )


def test_certain_and_wrong_is_finite() -> None:
    assert np.isfinite(METRICS["log_loss"].value(np.array([0]), np.array([[0.0, 1.0]], np.float32)))


def test_interval_is_about_as_wide_as_theory_says() -> None:
    """A mean of 400 coin flips: the normal approximation gives ± 1.96 · 0.5 / 20 = ± 0.049."""
    flips = (np.arange(400) % 2).astype(np.float64)
    interval = bootstrap(flips, seed=1, resamples=4000)
    assert interval.value == 0.5
    assert interval.low == pytest.approx(0.451, abs=0.006)
    assert interval.high == pytest.approx(0.549, abs=0.006)
    assert bootstrap(flips, seed=1) == bootstrap(flips, seed=1)


def test_unknown_metric_names_the_known() -> None:
    with pytest.raises(NotFound, match="log_loss"):
        find_metric("f1")
