"""Arrivals of calls: recorded by a platform's own metering, or made by a seeded formula."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sqlalchemy import select

from aimass.database.engine import open_database
from aimass.database.tables import UsageEventRow

LENGTH_S = 300


def recorded(home: Path, service: str) -> list[float]:
    """Arrivals of a service's answered calls as its platform's database has them, in seconds from the first one."""
    database = open_database(f"sqlite:///{home / 'aimass.db'}")
    wanted = select(UsageEventRow.at, UsageEventRow.total_us).where(UsageEventRow.service == service)
    with database.reading() as session:
        found = sorted(at - total_us / 1e6 for at, total_us in session.execute(wanted))
    return [at - found[0] for at in found]


def poisson(rate_per_s: Callable[[float], float], seed: int, length_s: float = LENGTH_S) -> list[float]:
    """Arrivals at a rate that changes, by thinning (Lewis and Shedler 1979)."""
    random = np.random.default_rng(seed)
    highest = max(rate_per_s(second) for second in np.arange(0, length_s, 0.1))
    candidates = np.cumsum(random.exponential(1 / highest, int(highest * length_s * 1.2)))
    candidates = candidates[candidates < length_s]
    kept = random.random(len(candidates)) * highest < [rate_per_s(at) for at in candidates]
    return [float(at) for at in candidates[kept]]


def day(at: float) -> float:
    """A day in five minutes: quiet at its ends, a long top in the middle."""
    return 5 + 115 * max(0.0, float(np.sin(np.pi * at / LENGTH_S))) ** 2


def burst(at: float) -> float:
    """Quiet, but for half a minute of eight times as much."""
    return 120 if 100 <= at < 130 else 15


def steps(at: float) -> float:
    """Twice as much every minute."""
    return 10 * 2 ** (at // 60)


FORMULAS = {"day": day, "burst": burst, "steps": steps}
