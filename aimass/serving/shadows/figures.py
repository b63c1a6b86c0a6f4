"""What is told of many comparisons: a quantile out of a histogram's buckets."""

from bisect import bisect_left
from collections.abc import Sequence
from math import inf, isfinite

import numpy as np

from aimass.core.batch import Array

STEPS = (1.0, 1.5, 2.2, 3.2, 4.7, 6.8)  # of each power of ten: a bucket's end is at most half above its beginning
SECONDS = (*(float(f"{step}e{power}") for power in range(-5, 1) for step in STEPS), 10.0)
DISTANCES = (*(float(f"{step}e{power}") for power in range(-6, 0) for step in STEPS), 1.0, 10.0, 100.0)


def bucket_of(bounds: Sequence[float], value: float) -> int:
    """The first bucket whose end is not below the value; the one beyond all ends for what no number is."""
    return bisect_left(bounds, value) if isfinite(value) else len(bounds)


def buckets_of(bounds: Sequence[float], values: Array) -> list[float]:
    """How many of the values (FP64 [n]) lie in each bucket, as ``bucket_of`` has it."""
    found: list[float] = np.bincount(np.searchsorted(bounds, values), minlength=len(bounds) + 1).tolist()
    return found


def quantile(bounds: Sequence[float], counts: Sequence[float], part: float) -> float | None:
    """The end of the bucket that holds it, infinite beyond the last; None where nothing was counted."""
    total, seen = sum(counts), 0.0
    if not total:
        return None
    for bound, count in zip((*bounds, inf), counts, strict=True):
        seen += count
        if seen >= part * total:
            return bound
    return inf
