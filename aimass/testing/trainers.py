"""What every trainer must do: subclass ``TrainerConformance`` in a test module and say how to make yours."""

from abc import ABC, abstractmethod

import numpy as np
import pytest

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.runtimes.conversion import check_conversion, to_onnx
from aimass.training.space import Parameters
from aimass.training.trainers.base import Trainer


def blobs(rows: int, seed: int) -> tuple[Array, Array]:
    """Three clouds of points that overlap a little: FP32 [rows, 4] and labels 0 … 2."""
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    centres = np.array([[0, 0, 0, 0], [3, 0, 1, 0], [0, 3, 0, 1]])
    return (centres[labels] + generator.normal(size=(rows, 4))).astype(np.float32), labels


class TrainerConformance(ABC):
    """Collected by pytest in its subclasses."""

    @abstractmethod
    def make(self) -> Trainer:
        """The trainer."""

    def parameters(self) -> Parameters:
        """Parameters that fit quickly."""
        return {}

    def test_learns(self) -> None:
        rows, labels = blobs(300, seed=1)
        model = self.make().fit(rows[:200], labels[:200], self.parameters(), seed=0)
        probabilities = model.predict_proba(rows[200:])
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert (probabilities.argmax(axis=1) == labels[200:]).mean() > 0.8

    def test_same_seed_same_model(self) -> None:
        rows, labels = blobs(150, seed=2)
        models = [self.make().fit(rows, labels, self.parameters(), seed=5) for _ in range(2)]
        first, second = (to_onnx(model, "x", 4) for model in models)
        assert first == second

    def test_converts(self) -> None:
        rows, labels = blobs(300, seed=3)
        model = self.make().fit(rows[:200], labels[:200], self.parameters(), seed=0)
        assert check_conversion(model, to_onnx(model, "x", 4), rows[200:]).label_mismatches == 0

    def test_unknown_parameter_is_named(self) -> None:
        with pytest.raises(Invalid) as caught:
            self.make().check({"no_such_thing": 1})
        assert caught.value.field == "no_such_thing"

    def test_odd_rows_and_labels_are_refused(self) -> None:
        rows, labels = blobs(30, seed=4)
        hole = rows.copy()
        hole[0, 0] = np.nan
        for bad_rows, bad_labels in (
            (rows[:20], labels),
            (rows.astype(np.float64), labels),
            (hole, labels),
            (rows, labels + 1),
        ):
            with pytest.raises(Invalid):
                self.make().fit(bad_rows, bad_labels, self.parameters(), seed=0)
        with pytest.raises(Invalid, match="k at least 2"):
            self.make().fit(rows, np.zeros(30, np.int64), self.parameters(), seed=0)
