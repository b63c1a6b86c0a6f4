"""An interval around a rate that holds at all times at once."""

import math
from collections.abc import Callable

_BISECTIONS = 60


def rate_bounds(bad: float, trials: float, alpha: float = 0.05) -> tuple[float, float]:
    """A confidence sequence for the rate of bad events: with a probability of 1 - ``alpha`` it holds the true rate
    after each trial, however often one looks.

    The rates that Robbins' mixture of likelihood ratios, uniform over the rate, has not ruled out (Robbins 1970; as a
    time-uniform bound: Howard, Ramdas, McAuliffe and Sekhon 2021, doi:10.1214/20-AOS1991): those p with
    B(bad + 1, good + 1) < p^bad (1 - p)^good / ``alpha``.
    """
    good = trials - bad
    level = math.lgamma(bad + 1) + math.lgamma(good + 1) - math.lgamma(trials + 2) + math.log(alpha)

    def is_out(rate: float) -> bool:
        log_likelihood = (bad * math.log(rate) if bad else 0.0) + (good * math.log1p(-rate) if good else 0.0)
        return log_likelihood <= level

    best = bad / trials if trials else 0.5
    low = 0.0 if not bad else _edge(0.0, best, is_out)
    high = 1.0 if not good else _edge(1.0, best, is_out)
    return low, high


def _edge(outside: float, inside: float, is_out: Callable[[float], bool]) -> float:
    """Between a rate that is ruled out and one that is not."""
    for _ in range(_BISECTIONS):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if is_out(middle) else (outside, middle)
    return outside
