"""Square pictures, row by row, described by hand: where the ink is, how it leans, how symmetric and how busy it is."""

from math import isqrt

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.features.transforms.base import Nodes, Transform

ZONES = 4  # down, and as many to the right
LEVELS = 256  # what the brightest training pixel becomes; a power of two
_EXACT = 2**24  # float32 holds every whole number up to here


class PictureFeaturesTransform(Transform):
    """Pixels become whole numbers up to ``LEVELS``; features are sums of them, so also whole.

    Whole numbers below 2^24 add up exactly in float32 in any order: trees behind it ask the same question wherever
    they run. In order: ink by row, by column, by zone and in all; moments about the centre (down, right, both
    squared, their product); differences from the picture mirrored left to right, top to bottom and turned by half;
    steps between neighbours along each row, and along each column.
    """

    def _fit(self, rows: Array) -> None:
        side = isqrt(rows.shape[1])
        if side * side != rows.shape[1] or side < 2:
            raise Invalid(f"picture_features wants square pictures, row by row; {rows.shape[1]} columns are none")
        ink = float(np.abs(rows.astype(np.float64)).max()) or 1.0
        self._scale = np.float32(LEVELS / 2.0 ** np.ceil(np.log2(ink)))  # a power of two: multiplying is exact
        self._sums = _sums(side)
        self._steps, self._gather = _steps(side)
        most = max(np.abs(self._sums).sum(axis=0).max(), (np.abs(self._steps) @ self._gather).sum(axis=0).max())
        if most * LEVELS > _EXACT:
            raise Invalid(f"picture_features is exact for pictures of up to 21 x 21 pixels, not {side} x {side}")

    def _columns(self) -> int:
        return int(self._sums.shape[1] + self._gather.shape[1])

    def _apply(self, rows: Array) -> Array:
        pixels = np.clip(np.rint(rows * self._scale), -LEVELS, LEVELS)
        return np.concatenate([pixels @ self._sums, np.abs(pixels @ self._steps) @ self._gather], axis=1)

    def _onnx_nodes(self, source: str, target: str) -> Nodes:
        from onnx import helper, numpy_helper

        nodes = [
            helper.make_node("Mul", [source, "scale"], ["scaled"], name="scale_pixels"),
            helper.make_node("Round", ["scaled"], ["rounded"], name="round"),
            helper.make_node("Clip", ["rounded", "least", "most"], ["pixels"], name="clip"),
            helper.make_node("MatMul", ["pixels", "sums"], ["ink"], name="add"),
            helper.make_node("MatMul", ["pixels", "steps"], ["signed"], name="subtract"),
            helper.make_node("Abs", ["signed"], ["sizes"], name="unsign"),
            helper.make_node("MatMul", ["sizes", "gather"], ["shape"], name="gather_steps"),
            helper.make_node("Concat", ["ink", "shape"], [target], axis=1, name="join"),
        ]
        values = {
            "scale": np.array([self._scale], np.float32),
            "least": np.float32(-LEVELS),
            "most": np.float32(LEVELS),
            "sums": self._sums,
            "steps": self._steps,
            "gather": self._gather,
        }
        return nodes, [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]


def _sums(side: int) -> Array:
    """FP32 [pixels, features]: what each pixel counts in each sum."""
    down, right = (axis.ravel() for axis in np.indices((side, side)))
    y, x = 2 * down - (side - 1), 2 * right - (side - 1)  # from the centre, in half pixels
    columns = [down == at for at in range(side)] + [right == at for at in range(side)]
    zones = min(ZONES, side)
    columns += [
        (down * zones // side == low) & (right * zones // side == far) for low in range(zones) for far in range(zones)
    ]
    columns += [np.ones(side * side), y, x, y * y, x * x, y * x]
    return np.stack(columns, axis=1).astype(np.float32)


def _steps(side: int) -> tuple[Array, Array]:
    """FP32 [pixels, pairs]: a pixel less another; FP32 [pairs, features]: whose sizes are added up."""
    place = np.arange(side * side).reshape(side, side)
    pairs = [
        (place, place[:, ::-1]),
        (place, place[::-1]),
        (place, place[::-1, ::-1]),
        *((place[at, 1:], place[at, :-1]) for at in range(side)),
        *((place[1:, at], place[:-1, at]) for at in range(side)),
    ]
    firsts, seconds = (np.concatenate([pair[end].ravel() for pair in pairs]) for end in (0, 1))
    one = np.eye(side * side, dtype=np.float32)
    sizes = [pair[0].size for pair in pairs]
    gather = np.repeat(np.eye(len(pairs), dtype=np.float32), sizes, axis=0)
    return one[:, firsts] - one[:, seconds], gather
