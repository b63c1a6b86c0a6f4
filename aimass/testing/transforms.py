"""What every transform must do: subclass ``TransformConformance`` in a test module and say how to make yours."""

from abc import ABC, abstractmethod

import numpy as np
import onnxruntime
import pytest

from aimass.core.batch import Array
from aimass.core.errors import Bug, Invalid
from aimass.features.transforms.base import Transform


def feature_rows(rows: int, seed: int) -> Array:
    """FP32 [rows, 6] of very different sizes; the last feature never varies."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(rows, 6)) * [1, 1e-3, 1e4, 7, 0.3, 0] + [0, 5, -1e4, 3, 1e-6, 2.5]
    return values.astype(np.float32)


class TransformConformance(ABC):
    """Collected by pytest in its subclasses."""

    @abstractmethod
    def make(self) -> Transform:
        """A transform that is not fitted yet."""

    def rows(self, rows: int, seed: int) -> Array:
        """FP32 [rows, features ≥ 4] that it takes."""
        return feature_rows(rows, seed)

    def test_onnx_gives_the_same_bits(self) -> None:
        transform = self.make().fit(self.rows(100, seed=1))
        session = onnxruntime.InferenceSession(transform.to_onnx(), providers=["CPUExecutionProvider"])
        for rows in (1, 64, 500):
            fresh = self.rows(rows, seed=rows)
            (answer,) = session.run(["y"], {"x": fresh})
            assert answer.tobytes() == transform.apply(fresh).tobytes()

    def test_same_rows_same_bytes(self) -> None:
        rows = self.rows(50, seed=2)
        assert self.make().fit(rows).to_onnx() == self.make().fit(rows.copy()).to_onnx()

    def test_keeps_rows_apart_and_finite(self) -> None:
        rows = self.rows(40, seed=3)
        transform = self.make().fit(rows)
        together = transform.apply(rows)
        assert together.dtype == np.float32
        assert np.isfinite(together).all()
        assert np.concatenate([transform.apply(row[None]) for row in rows]).tobytes() == together.tobytes()

    def test_signature_says_what_it_takes(self) -> None:
        transform = self.make().fit(self.rows(10, seed=4))
        assert transform.signature.check({"x": self.rows(3, seed=5)}) == 3
        assert transform.signature.outputs[0].name == "y"

    def test_odd_rows_are_refused(self) -> None:
        rows = self.rows(10, seed=6)
        hole = rows.copy()
        hole[3, 2] = np.nan
        for odd in (rows[:0], rows[:, :0], rows.astype(np.float64), rows[0], hole):
            with pytest.raises(Invalid):
                self.make().fit(odd)
        with pytest.raises(Invalid, match="expected float32"):
            self.make().fit(rows).apply(rows[:, :3])

    def test_unfitted_is_a_bug(self) -> None:
        with pytest.raises(Bug):
            self.make().apply(self.rows(3, seed=7))
