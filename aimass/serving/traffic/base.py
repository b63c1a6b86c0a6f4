"""What every traffic policy is: fixed weights, and a choice that the same caller gets every time."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from hashlib import blake2b
from typing import final

from aimass.core.errors import Invalid

ALL_PERCENT = 100.0


class Traffic(ABC):
    """Made anew for each numbered state; choosing reads no clock and draws no random number."""

    def __init__(self, weights: Mapping[int, float]) -> None:
        """``weights``: revision → per cent. They must add up to 100; revisions with 0 are never chosen."""
        if any(not math.isfinite(weight) or weight < 0 for weight in weights.values()):
            raise Invalid(f"weights must be per cents from 0 to 100, not {dict(weights)}", field="weights")
        if not math.isclose(sum(weights.values()), ALL_PERCENT, abs_tol=1e-6):
            raise Invalid(f"weights add up to {sum(weights.values()):g}, not to 100", field="weights")
        self.weights = {revision: weight for revision, weight in weights.items() if weight > 0}
        self.only = next(iter(self.weights)) if len(self.weights) == 1 else 0
        """The revision that takes every call; 0 when there is a choice to make."""

    @final
    def choose(self, key: str) -> int:
        """The revision for a call; the same for the same ``key`` (the request's id)."""
        return self.only or self._choose(point(key))

    @abstractmethod
    def _choose(self, point: float) -> int:
        """A revision of ``weights`` for a point of [0, 1), where points are spread evenly."""


def point(key: str) -> float:
    """A key's fixed place in [0, 1): 53 bits of its BLAKE2b hash."""
    return (int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) >> 11) / 2**53
