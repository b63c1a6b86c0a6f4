"""Every feature from its training range to 0 … 1; a feature that never varies is only moved."""

import numpy as np

from aimass.core.batch import Array
from aimass.features.transforms.base import Nodes, Transform


class MinMaxScaleTransform(Transform):
    """(x - smallest) / range; values outside the training range leave 0 … 1 as they must."""

    def _fit(self, rows: Array) -> None:
        spread = np.ptp(rows.astype(np.float64), axis=0)
        self._smallest: Array = rows.min(axis=0)
        self._spread: Array = np.where(spread == 0, 1.0, spread).astype(np.float32)

    def _apply(self, rows: Array) -> Array:
        scaled: Array = (rows - self._smallest) / self._spread
        return scaled

    def _onnx_nodes(self, source: str, target: str) -> Nodes:
        from onnx import helper, numpy_helper

        nodes = [
            helper.make_node("Sub", [source, "smallest"], ["moved"], name="move"),
            helper.make_node("Div", ["moved", "spread"], [target], name="scale"),
        ]
        constants = [
            numpy_helper.from_array(self._smallest, "smallest"),
            numpy_helper.from_array(self._spread, "spread"),
        ]
        return nodes, constants
