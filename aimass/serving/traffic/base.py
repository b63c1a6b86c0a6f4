"""What every traffic policy is: a pure rule that says which share of a service's calls each revision gets, and when.

Shares become a cut of buckets (``cut``), and a call's key chooses its bucket: so the share is the probability.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, final

from aimass.core.errors import Invalid
from aimass.serving.traffic.rewards import Rewards

ALL_PERCENT = 100.0
BY = "by"  # the option that says what a caller is known by; see ``gateway.choosing``

Weights = Mapping[int, float]
"""Revision → per cent of the calls."""


class Traffic(ABC):
    """Reads no clock and draws no random number: the same state of things gives the same shares."""

    OPTIONS: ClassVar[Mapping[str, str]] = {}  # name → what it says
    MOVES: ClassVar[bool] = False  # whether shares change while nobody moves traffic

    @final
    def __init__(
        self, weights: Weights, options: Mapping[str, Any] | None = None, before: Weights | None = None
    ) -> None:
        """``weights``: where traffic is to go, together 100; ``before``: where it went until now."""
        self.weights = check_weights(weights)
        self.before = check_weights(before) if before else self.weights
        self.options = dict(options or {})
        for name in self.options:
            if name not in self.OPTIONS:
                there = ", ".join(self.OPTIONS) or "none"
                raise Invalid(f"this policy has no option {name!r}; it has: {there}", field=f"options.{name}")
        check_by(self.options.get(BY, ""))
        self._read_options()

    def _read_options(self) -> None:  # noqa: B027 - not every policy has some to look at
        """Raise ``Invalid`` for options that make no sense."""

    @final
    def shares(self, elapsed_s: float = 0.0, rewards: Mapping[int, Rewards] | None = None) -> dict[int, float]:
        """Per cents of the revisions that take calls, together 100, so long after the move, with these rewards."""
        return check_weights(self._shares(max(0.0, elapsed_s), rewards or {}))

    @abstractmethod
    def _shares(self, elapsed_s: float, rewards: Mapping[int, Rewards]) -> Weights: ...

    @final
    def number(self, name: str, default: float, low: float, high: float = math.inf) -> float:
        """An option that is a number within bounds."""
        given = self.options.get(name, default)
        if type(given) not in (int, float) or not low <= given <= high:
            bounds = f"from {low:g} on" if high == math.inf else f"from {low:g} to {high:g}"
            raise Invalid(f"option {name} must be a number {bounds}, not {given!r}", field=f"options.{name}")
        return float(given)


def check_weights(weights: Weights) -> dict[int, float]:
    """Those above 0, if they are per cents and add up to 100."""
    if any(not math.isfinite(weight) or weight < 0 for weight in weights.values()):
        raise Invalid(f"weights must be per cents from 0 to 100, not {_said(weights)}", field="weights")
    if not math.isclose(sum(weights.values()), ALL_PERCENT, abs_tol=1e-6):
        raise Invalid(f"weights add up to {sum(weights.values()):g}, not to 100: {_said(weights)}", field="weights")
    return {revision: float(weight) for revision, weight in weights.items() if weight > 0}


def check_by(by: Any) -> tuple[str, str]:
    """What callers are known by, in two words: ``header:NAME``, ``field:NAME`` or ``key``; empty: by nothing."""
    kind, colon, name = by.partition(":") if isinstance(by, str) else ("?", "", "")
    if by == "" or (kind == "key" and not colon) or (kind in ("header", "field") and name):
        return kind, name
    raise Invalid(f"callers stick by header:NAME, field:NAME or key, not by {by!r}", field=f"options.{BY}")


def _said(weights: Weights) -> str:
    return ", ".join(f"{number}={weight:g}" for number, weight in weights.items()) or "none"
