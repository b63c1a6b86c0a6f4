"""Rollouts drawn at random, many at once, and what a guard, a repeated z-test and a fixed sample make of them."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from aimass.control.rollouts.plan import ALPHA, STEPS
from aimass.monitoring.guards.judging import CAP, make_guard
from aimass.monitoring.sequential.comparison import EFFECTS, Comparison, mean_of
from aimass.monitoring.sequential.limit import Limit

Array = np.ndarray[Any, Any]
STRETCH = 250  # blocks that are computed together
FIRST_LOOK = 100  # blocks before a repeated z-test looks first, which is kind to it


@dataclass(frozen=True)
class World:
    """One kind of rollout: rates of bad answers, and how many requests of each revision come in turn."""

    baseline: float
    candidate: float
    pattern: tuple[int, int] = (1, 1)  # requests of the baseline, then of the candidate

    @property
    def per_block(self) -> int:
        return sum(self.pattern)


@dataclass(frozen=True)
class Outcome:
    """Per rollout, after how many requests a test called the candidate bad; infinite where it never did."""

    guard: Array
    repeated: Array  # the z-test at every look

    def share(self, which: str) -> float:
        """Of rollouts that were called bad."""
        return float(np.isfinite(getattr(self, which)).mean())

    def quantile(self, which: str, part: float) -> float:
        """Requests until that part of the rollouts was called bad."""
        return float(np.quantile(getattr(self, which), part, method="higher"))


def simulate(
    world: World, limit: Limit, alpha: float, size: tuple[int, int], seed: int, known: float = 1000.0
) -> Outcome:
    """A look after every block, which is a look after every request that can change anything.

    ``size``: rollouts, and requests in each. ``known``: so many trials of the baseline were seen before, as a running
    service has. Bets change after each stretch of blocks and are made from what was seen before it, as the guard of a
    rollout makes them at each look.
    """
    rollouts, requests = size
    rng = np.random.default_rng(seed)
    known_bad = rng.binomial(int(known), world.baseline, rollouts).astype(float)
    guard = Comparison.open(limit, shape=(rollouts,))
    guard = guard.add(np.zeros((rollouts, guard.log_wealth.shape[-1])), (known_bad, np.full(rollouts, known)))
    found = {name: np.full(rollouts, np.inf) for name in ("guard", "repeated")}
    n0, n1 = world.pattern
    seen = np.zeros((2, rollouts))
    for begin in range(0, requests // world.per_block, STRETCH):
        blocks = np.arange(begin + 1, begin + STRETCH + 1)
        bad0 = rng.binomial(n0, world.baseline, (rollouts, STRETCH)).astype(float)
        bad1 = rng.binomial(n1, world.candidate, (rollouts, STRETCH)).astype(float)
        bet = guard.bet(np.array(float(n0)), np.array(float(n1)))
        factors = np.stack(
            [
                bad0 * bet.baseline_bad[:, None, effect]
                + (n0 - bad0) * bet.baseline_good[:, None, effect]
                + bad1 * bet.candidate_bad[:, None, effect]
                + (n1 - bad1) * bet.candidate_good[:, None, effect]
                for effect in range(guard.log_wealth.shape[-1])
            ],
            axis=-1,
        )
        path = factors.cumsum(axis=1)
        evidence = mean_of((guard.log_wealth + path)[..., None, :])
        _note(found["guard"], evidence >= -np.log(alpha), blocks * world.per_block)
        z = _z(seen[0][:, None] + bad0.cumsum(1), seen[1][:, None] + bad1.cumsum(1), blocks * n0, blocks * n1, limit)
        threshold = NormalDist().inv_cdf(1 - alpha)
        _note(found["repeated"], (z >= threshold) & (blocks >= FIRST_LOOK), blocks * world.per_block)
        seen += bad0.sum(1), bad1.sum(1)
        guard = guard.add(path[:, -1], (bad0.sum(1), np.full(rollouts, float(n0 * STRETCH))))
    return Outcome(**found)


def fixed_sample(world: World, limit: Limit, alpha: float, power: float) -> float:
    """Requests that a z-test with one look at the end needs to call the candidate bad with that probability.

    The textbook's: (z of alpha + z of the power)² times the variance per block of "candidate's rate - ratio ·
    baseline's rate", over the squared distance from the limit.
    """
    n0, n1 = world.pattern
    p0, p1 = world.baseline, world.candidate
    variance = limit.ratio**2 * p0 * (1 - p0) / n0 + p1 * (1 - p1) / n1
    distance = p1 - limit.ratio * p0 - limit.rise
    z = NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power)
    return float(z**2 * variance / distance**2 * world.per_block)


def _z(bad0: Array, bad1: Array, n0: Array, n1: Array, limit: Limit) -> Array:
    p0, p1 = bad0 / n0, bad1 / n1
    variance = limit.ratio**2 * p0 * (1 - p0) / n0 + p1 * (1 - p1) / n1
    return np.asarray((p1 - limit.ratio * p0 - limit.rise) / np.sqrt(np.maximum(variance, 1e-12)))


def _note(found: Array, is_called: Array, requests: Array) -> None:
    """Writes down the first look at which each rollout was called bad, unless it was before."""
    first = is_called.argmax(axis=1)
    is_new = is_called.any(axis=1) & ~np.isfinite(found)
    found[is_new] = requests[first[is_new]]


def whole_rollouts(rates: dict[str, tuple[float, float]], rollouts: int, looks: int, calls: int, seed: int) -> float:
    """The share of rollouts that any guard returns, of those that go through steps of 1, 5 and 25 %.

    ``rates``: guard → rates of bad trials of the baseline and of the candidate. At each of ``looks`` a step, ``calls``
    came, each to the candidate by the toss of a coin; as in the reconciler, guards share the probability of being
    wrong, and one look counts for no more than ``CAP``.
    """
    rng = np.random.default_rng(seed)
    guards = {name: make_guard(name) for name in rates}
    tests = {
        name: Comparison.open(guard.limit, len(STEPS), shape=(rollouts,), cap=CAP).add(
            np.zeros((rollouts, len(EFFECTS))),
            (rng.binomial(1000, rates[name][0], rollouts).astype(float), np.full(rollouts, 1000.0)),
        )
        for name, guard in guards.items()
    }
    is_returned = np.zeros(rollouts, bool)
    for step, share in enumerate(STEPS[:-1]):
        if step:
            tests = {name: test.start() for name, test in tests.items()}
        for _ in range(looks):
            n1 = rng.binomial(calls, share / 100, rollouts)
            for name, (bad0, bad1) in rates.items():
                if guards[name].limit.ratio:
                    baseline = rng.binomial(calls - n1, bad0), calls - n1
                    candidate = rng.binomial(n1, bad1), n1
                else:  # one trial a look, of the candidate alone
                    nothing = np.zeros(rollouts, int)
                    baseline, candidate = (nothing, nothing), (rng.binomial(1, bad1, rollouts), nothing + 1)
                tests[name] = tests[name].look(baseline, candidate)
                is_returned |= tests[name].log_evidence >= np.log(len(rates) / ALPHA)
    return float(is_returned.mean())
