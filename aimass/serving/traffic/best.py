"""How probable it is that each of several revisions is the best, by what is known of their mean rewards.

The probability that i has the highest mean is ∫₀¹ ∏_{j≠i} F_j(F_i⁻¹(u)) du, for independent posteriors with the
distribution functions F. The integral is a midpoint sum, so no random number is drawn. W. R. Thompson, "On the
likelihood that one unknown probability exceeds another in view of the evidence of two samples", Biometrika 25, 1933.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.serving.traffic.rewards import Rewards

POINTS = 4096


class Posterior(ABC):
    """What is known of one mean reward."""

    @abstractmethod
    def below(self, mean: Array) -> Array:
        """The probability that it is not above each of these."""

    @abstractmethod
    def quantile(self, share: Array) -> Array:
        """The means that it is below with these probabilities."""


@dataclass(frozen=True)
class Beta(Posterior):
    """Of rewards 0 and 1, after the uniform prior; rewards between count as that much of a 1."""

    ones: float
    zeros: float

    @classmethod
    def of(cls, rewards: Rewards) -> "Beta":
        """``Invalid`` for rewards that do not lie between 0 and 1."""
        if not 0 <= rewards.total <= rewards.count:
            raise Invalid(
                f"{rewards.count} rewards add up to {rewards.total:g}, so they do not all lie from 0 to 1; use the "
                "option posterior=normal",
                field="options.posterior",
            )
        return cls(1 + rewards.total, 1 + rewards.count - rewards.total)

    def below(self, mean: Array) -> Array:
        from scipy.special import betainc

        return cast(Array, betainc(self.ones, self.zeros, mean))

    def quantile(self, share: Array) -> Array:
        from scipy.special import betaincinv

        return cast(Array, betaincinv(self.ones, self.zeros, share))


@dataclass(frozen=True)
class Normal(Posterior):
    """Of rewards on any scale: the central limit theorem's, with the variance that was seen."""

    mean: float
    error: float

    @classmethod
    def of(cls, rewards: Rewards, spread: float) -> "Normal":
        """``spread``: the variance of a reward over all revisions, which counts as one more reward of this one."""
        variance = ((rewards.count - 1) * rewards.variance + spread) / rewards.count
        return cls(rewards.mean, max(variance / rewards.count, 1e-30) ** 0.5)

    def below(self, mean: Array) -> Array:
        from scipy.special import ndtr

        return cast(Array, ndtr((mean - self.mean) / self.error))

    def quantile(self, share: Array) -> Array:
        from scipy.special import ndtri

        return cast(Array, self.mean + self.error * ndtri(share))


def chances(posteriors: Sequence[Posterior]) -> list[float]:
    """The probability of each to be the best; together 1."""
    shares = (np.arange(POINTS) + 0.5) / POINTS
    found = []
    for one in posteriors:
        means = one.quantile(shares)
        found.append(float(np.mean(np.prod([other.below(means) for other in posteriors if other is not one], axis=0))))
    total = sum(found)
    return [chance / total for chance in found]


def spread_of(rewards: Sequence[Rewards]) -> float:
    """The variance of a reward within revisions, over all of them."""
    degrees = sum(max(0, item.count - 1) for item in rewards)
    return sum(max(0, item.count - 1) * item.variance for item in rewards) / degrees if degrees else 0.0
