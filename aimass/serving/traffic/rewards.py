"""What is known of the rewards that a revision's answers earned."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rewards:
    """Sums over all rewards so far."""

    count: int = 0
    total: float = 0.0
    square: float = 0.0  # sum of squares

    @property
    def mean(self) -> float:
        """0 while there is none."""
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """Of one reward, unbiased; 0 of fewer than two."""
        if self.count < 2:
            return 0.0
        return max(0.0, self.square - self.total * self.mean) / (self.count - 1)
