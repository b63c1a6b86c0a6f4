"""scikit-learn's handwritten digits, each picture shifted, turned and made noisy, as often as rows are asked for."""

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.data.dataset import Dataset
from aimass.data.sources import MOVED_DIGITS, load_bundled

SIDE, INK = 8, 16.0  # rows of pixels, and pixels in each; from 0 (paper) to INK
SHIFT = 1.0  # pixels to either side, at most
TURN = np.deg2rad(15)  # to either side, at most
NOISE = 1.5  # the deviation of what is added to every pixel
FEWEST, MOST = 100, 1_000_000
_CHUNK = 20_000


def load_moved_digits(rows: int, seed: int) -> Dataset:
    """``rows`` pictures of the 1,797, each original as often as any other or once more; the same seed, the same bytes.

    ``groups`` names the original of each row: variants of one must not be on both sides of a split.
    """
    if not FEWEST <= rows <= MOST:
        raise Invalid(f"moved_digits has {FEWEST} to {MOST:,} rows, not {rows:,}", field="rows")
    digits = load_bundled("digits")
    generator = np.random.default_rng(seed)
    originals = np.resize(generator.permutation(len(digits.rows)), rows)
    shifts = generator.uniform(-SHIFT, SHIFT, (rows, 2))
    turns = generator.uniform(-TURN, TURN, rows)
    noise = generator.normal(0, NOISE, (rows, SIDE * SIDE))
    pictures = digits.rows[originals].astype(np.float64).reshape(rows, SIDE, SIDE)
    moved = [
        move(pictures[at : at + _CHUNK], shifts[at : at + _CHUNK], turns[at : at + _CHUNK])
        for at in range(0, rows, _CHUNK)
    ]
    values = np.clip(np.concatenate(moved).reshape(rows, -1) + noise, 0, INK)
    return Dataset(
        name=MOVED_DIGITS.replace("_", "-"),
        rows=values.astype(np.float32),
        labels=digits.labels[originals],
        classes=digits.classes,
        columns=digits.columns,
        source={**digits.source, "source": MOVED_DIGITS, "rows": rows, "seed": seed},
        groups=originals,
    )


def move(pictures: Array, shifts: Array, turns: Array) -> Array:
    """Pictures [rows, side, side] turned about their centres by ``turns`` (radians), then shifted by ``shifts``
    [rows, 2] (down, right; pixels); bilinear between pixels, paper outside."""
    side = pictures.shape[1]
    centre = (side - 1) / 2
    down, right = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    y = down[None] - centre - shifts[:, 0, None, None]
    x = right[None] - centre - shifts[:, 1, None, None]
    cosine, sine = np.cos(turns)[:, None, None], np.sin(turns)[:, None, None]
    from_y, from_x = cosine * y - sine * x + centre, sine * y + cosine * x + centre
    top, left = np.floor(from_y).astype(np.int64), np.floor(from_x).astype(np.int64)
    low, far = from_y - top, from_x - left
    edged = np.pad(pictures, ((0, 0), (1, 1), (1, 1)))
    row = np.arange(len(pictures))[:, None, None]

    def pixel(y: Array, x: Array) -> Array:
        found: Array = edged[row, np.clip(y + 1, 0, side + 1), np.clip(x + 1, 0, side + 1)]
        return found

    above = pixel(top, left) * (1 - far) + pixel(top, left + 1) * far
    below = pixel(top + 1, left) * (1 - far) + pixel(top + 1, left + 1) * far
    moved: Array = above * (1 - low) + below * low
    return moved
