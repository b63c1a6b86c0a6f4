"""A candidate's search space: what one parameter may be, as a recipe writes it and as Optuna samples it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aimass.core.errors import Invalid

Scalar = str | int | float | bool | None
Parameters = dict[str, Scalar]
_RANGE_KEYS = {"from", "to", "scale"}


@dataclass(frozen=True)
class Fixed:
    """Always this value."""

    value: Scalar

    def extremes(self) -> tuple[Scalar, ...]:
        return (self.value,)


@dataclass(frozen=True)
class Choice:
    """One of these values."""

    values: tuple[Scalar, ...]

    def extremes(self) -> tuple[Scalar, ...]:
        return self.values


@dataclass(frozen=True)
class Range:
    """From ``low`` to ``high``, both included; whole numbers when both are written as such."""

    low: int | float
    high: int | float
    log: bool = False

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def extremes(self) -> tuple[Scalar, ...]:
        return (self.low, self.high)


Domain = Fixed | Choice | Range
Space = Mapping[str, Domain]


def parse_domain(value: Any) -> Domain:
    """``3`` (fixed), ``[sqrt, log2]`` (one of them) or ``{from: 0.01, to: 10, scale: log}``; else ``Invalid``."""
    if isinstance(value, list):
        if not value or not all(_is_scalar(item) for item in value):
            raise Invalid("a choice is a list of at least one number, text, true, false or null")
        return Choice(tuple(value))
    if isinstance(value, dict):
        return _parse_range(value)
    if not _is_scalar(value):
        raise Invalid("expected a value, a list to choose from, or {from: …, to: …, scale: linear or log}")
    return Fixed(value)


def _parse_range(value: dict[str, Any]) -> Range:
    unknown = sorted(set(map(str, value)) - _RANGE_KEYS)
    if unknown:
        raise Invalid(f"unknown key {unknown[0]!r}; a range has from, to and scale")
    low, high, scale = _number(value.get("from")), _number(value.get("to")), value.get("scale", "linear")
    if low >= high:
        raise Invalid(f"from {low} is not below to {high}")
    if scale not in ("linear", "log"):
        raise Invalid(f"scale {scale!r} is neither linear nor log")
    if scale == "log" and low <= 0:
        raise Invalid(f"from {low} must be above 0 on a log scale")
    return Range(low, high, scale == "log")


def distributions(space: Space) -> dict[str, Any]:
    """What Optuna samples: every domain but the fixed ones."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    made: dict[str, Any] = {}
    for name, domain in space.items():
        if isinstance(domain, Choice):
            made[name] = CategoricalDistribution(domain.values)
        elif isinstance(domain, Range):
            kind = IntDistribution if domain.whole else FloatDistribution
            made[name] = kind(domain.low, domain.high, log=domain.log)
    return made


def fixed_parameters(space: Space) -> Parameters:
    return {name: domain.value for name, domain in space.items() if isinstance(domain, Fixed)}


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Invalid(
            f"{value!r} where a range needs a number, as in {{from: 0.001, to: 10}}; YAML takes 1e-3 for text"
        )
    return value
