"""Every feature to mean 0 and standard deviation 1; a feature that never varies is only moved."""

import numpy as np

from aimass.core.batch import Array
from aimass.features.transforms.base import Nodes, Transform


class StandardScaleTransform(Transform):
    """(x - mean) / deviation, both rounded to float32 once."""

    def _fit(self, rows: Array) -> None:
        exact = rows.astype(np.float64)
        deviation = exact.std(axis=0)
        self._mean: Array = exact.mean(axis=0).astype(np.float32)
        self._deviation: Array = np.where(np.ptp(rows, axis=0) == 0, 1.0, deviation).astype(np.float32)

    def _apply(self, rows: Array) -> Array:
        scaled: Array = (rows - self._mean) / self._deviation
        return scaled

    def _onnx_nodes(self, source: str, target: str) -> Nodes:
        from onnx import helper, numpy_helper

        nodes = [
            helper.make_node("Sub", [source, "mean"], ["centred"], name="centre"),
            helper.make_node("Div", ["centred", "deviation"], [target], name="scale"),
        ]
        constants = [
            numpy_helper.from_array(self._mean, "mean"),
            numpy_helper.from_array(self._deviation, "deviation"),
        ]
        return nodes, constants
