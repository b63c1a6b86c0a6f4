"""How long calls wait for something that is busy: the M/G/c approximation of Allen and Cunneen."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Waiting:
    """``chance`` that a call must wait at all, and the mean seconds of all calls' waits."""

    chance: float
    mean_s: float

    def quantile_s(self, share: float) -> float:
        """Seconds within which so large a share of the calls has waited; those that wait do so for an exponential
        time, which is exact for exponential service."""
        if self.chance <= 1 - share or self.mean_s == 0:
            return 0.0
        return self.mean_s / self.chance * math.log(self.chance / (1 - share))


def waiting(rate: float, service_s: float, servers: int, spread: float = 0.0) -> Waiting | None:
    """Of Poisson arrivals (``rate`` a second) at ``servers``, each busy for ``service_s`` on average with a call;
    ``spread`` is the squared coefficient of variation of that time. None: they cannot keep up.

    Mean wait = that of M/M/c times (1 + spread) / 2: A. O. Allen, Probability, Statistics, and Queueing Theory, 2nd
    ed., 1990, section 5.3 (Allen-Cunneen). Exact for M/M/c, and for M/G/1, where it is Pollaczek and Khinchine's.
    """
    offered = rate * service_s
    if offered >= servers:
        return None
    chance = erlang_c(servers, offered)
    return Waiting(chance, chance * service_s / (servers - offered) * (1 + spread) / 2)


def erlang_c(servers: int, offered: float) -> float:
    """The chance that an arrival must wait for one of so many servers; ``offered`` < ``servers`` are busy on average.

    By Erlang's recursion for the blocking of a system without a queue, which is stable for any size.
    """
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return servers * blocked / (servers - offered * (1 - blocked))


def spread_of(p50: float, p95: float) -> float:
    """The squared coefficient of variation of the lognormal distribution with these quantiles."""
    if p50 <= 0 or p95 <= p50:
        return 0.0
    sigma = math.log(p95 / p50) / 1.6449  # the standard normal's 95th percentile
    return math.expm1(sigma * sigma)
