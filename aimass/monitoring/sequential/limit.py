"""How much worse a candidate may be: a straight line in the plane of two rates."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from aimass.core.errors import Invalid

Rates = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Limit:
    """The candidate's rate of bad events may be as high as ``ratio`` times the baseline's, plus ``rise``.

    A ``ratio`` of 0 asks for no baseline: the candidate's rate alone may be as high as ``rise``.
    """

    ratio: float
    rise: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.rise < 1.0 and (self.ratio == 0.0 or self.ratio >= 1.0)):
            raise Invalid(f"a limit needs a ratio of 0 or from 1 and a rise in [0, 1), not {self.ratio}, {self.rise}")
        if self.ratio == 0.0 and self.rise == 0.0:
            raise Invalid("a limit that allows nothing cannot be tested; give a rise above 0")

    def of(self, baseline: Rates) -> Rates:
        """The highest rate allowed beside a baseline of these rates."""
        return np.minimum(self.ratio * baseline + self.rise, 1.0)


def project(limit: Limit, rates: tuple[Rates, Rates], counts: tuple[Rates, Rates]) -> tuple[Rates, Rates]:
    """The point of ``candidate ≤ ratio · baseline + rise`` that is hardest to tell from ``rates``.

    ``rates``: (baseline, candidate), the latter above the limit; ``counts``: how many trials of each. Nearest in
    Kullback-Leibler divergence, weighted by the counts; the arrays broadcast. It lies on the line, where the divergence
    is convex in the baseline's rate, so its derivative is bisected.
    """
    (p0, p1), (n0, n1) = rates, counts
    if limit.ratio == 0.0:
        return p0, np.minimum(p1, limit.rise)
    low = np.broadcast_to(p0, np.broadcast_shapes(*(np.shape(item) for item in (p0, p1, n0, n1)))).astype(float)
    high = np.minimum((p1 - limit.rise) / limit.ratio, 1.0 - 1e-12) + np.zeros_like(low)
    for _ in range(_BISECTIONS):
        q0 = (low + high) / 2
        q1 = limit.ratio * q0 + limit.rise
        slope = n0 * (q0 - p0) / (q0 * (1 - q0)) + n1 * limit.ratio * (q1 - p1) / (q1 * (1 - q1))
        is_beyond = slope > 0
        low, high = np.where(is_beyond, low, q0), np.where(is_beyond, q0, high)
    q0 = (low + high) / 2
    return q0, limit.ratio * q0 + limit.rise


_BISECTIONS = 50
