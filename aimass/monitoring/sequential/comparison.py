"""Whether a candidate does worse than a baseline by more than a limit: evidence that may be looked at any time."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aimass.monitoring.sequential.limit import Limit, Rates, project

EFFECTS = np.array([1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0])  # times the limit: how bad a bad candidate may be
KNOWN_TRIALS = 20  # of the baseline, before anything is bet on what its rate is
_ROOM = 1e-4  # between the limit and a rate of 1, for a candidate to be beyond it
_PRIOR_BAD, _PRIOR_TRIALS = 0.5, 1.0  # Krichevsky and Trofimov's estimate


@dataclass(frozen=True)
class Bet:
    """What one trial multiplies the evidence by, per effect, fixed before the trials are seen. Arrays (…, effects)."""

    baseline_good: Rates
    baseline_bad: Rates
    candidate_good: Rates
    candidate_bad: Rates

    def log_factors(self, baseline: tuple[Rates, Rates], candidate: tuple[Rates, Rates]) -> Rates:
        """For (bad, all) trials of each; arrays (…), the answer (…, effects)."""
        (bad0, n0), (bad1, n1) = _columns(baseline), _columns(candidate)
        return np.asarray(
            bad0 * self.baseline_bad
            + (n0 - bad0) * self.baseline_good
            + bad1 * self.candidate_bad
            + (n1 - bad1) * self.candidate_good
        )


@dataclass(frozen=True)
class Comparison:
    """An e-process against "the candidate's rate of bad events is within ``limit``", for any number of rollouts.

    Its evidence starts at 1 and, while the candidate is within the limit at all times, is ever 1/alpha or more with a
    probability of at most alpha (Ville 1939), wherever one looks and stops. A block of trials multiplies it by the
    likelihood ratio of "the baseline's rate as seen so far, the candidate's ``k`` times the limit" to the allowed pair
    of rates nearest to that (Turner, Ly and Grünwald 2024, doi:10.1016/j.jspi.2023.106116; for lines: Turner and
    Grünwald 2023, arXiv:2203.09785): for allowed rates (q0, q1) the logarithm of its expectation is at most the slope
    of the divergence at that nearest pair towards (q0, q1), taken negatively, which is not above 0 as the allowed
    pairs are convex. The rates may change from block to block, together or apart.

    Over ``k`` it is averaged (a mixture SPRT: Robbins 1970; Johari, Koomen, Pekelis and Walsh 2022,
    doi:10.1287/opre.2021.2135), and over ``starts``: a start counts what came after it only, so that what was good for
    long does not hide what goes wrong later. Both averages of e-processes are e-processes.
    """

    limit: Limit
    starts: int
    begun: int
    log_wealth: Rates  # (…, starts, effects)
    baseline: tuple[Rates, Rates]  # bad, all trials so far
    cap: float = np.inf  # the most that one look may multiply by; less than what it came to is evidence still

    @classmethod
    def open(
        cls,
        limit: Limit,
        starts: int = 1,
        known: tuple[float, float] = (0.0, 0.0),
        cap: float = np.inf,
        shape: tuple[int, ...] = (),
    ) -> "Comparison":
        """``known``: the baseline's (bad, all) trials of before; ``shape``: of rollouts that are judged at once."""
        wealth = np.zeros((*shape, starts, len(EFFECTS)))
        return cls(limit, starts, 1, wealth, (np.full(shape, known[0]), np.full(shape, known[1])), cap)

    def start(self) -> "Comparison":
        """The next of the starts: from here on evidence counts also by itself."""
        return replace(self, begun=min(self.begun + 1, self.starts))

    def bet(self, n0: float | Rates, n1: float | Rates) -> Bet:
        """What to bet on the next block of ``n0`` and ``n1`` trials, or any number of blocks of that ratio."""
        bad, trials = self.baseline
        guess = ((bad + _PRIOR_BAD) / (trials + _PRIOR_TRIALS))[..., None]
        p0 = np.minimum(guess, (1 - _ROOM - self.limit.rise) / max(self.limit.ratio, 1.0))  # any guess is allowed
        allowed = self.limit.of(p0)
        p1 = np.maximum(np.minimum(allowed * EFFECTS, 1 - (1 - allowed) / EFFECTS), allowed)
        q0, q1 = project(self.limit, (p0, p1), (np.asarray(n0, float)[..., None], np.asarray(n1, float)[..., None]))
        is_known = (trials[..., None] >= KNOWN_TRIALS) | (self.limit.ratio == 0.0)
        logs = (np.log((1 - p0) / (1 - q0)), np.log(p0 / q0), np.log((1 - p1) / (1 - q1)), np.log(p1 / q1))
        return Bet(*(np.where(is_known, item, 0.0) for item in logs))

    def look(self, baseline: tuple[Any, Any], candidate: tuple[Any, Any]) -> "Comparison":
        """After (bad, all) further trials of each. A block without trials of both says nothing: keep it till then."""
        (bad0, n0), (bad1, n1) = _floats(baseline), _floats(candidate)
        factors = self.bet(n0, n1).log_factors((bad0, n0), (bad1, n1))
        return self.add(np.minimum(factors, np.log(self.cap)), (bad0, n0))

    def add(self, log_factors: Rates, baseline: tuple[Rates, Rates]) -> "Comparison":
        """With the evidence of blocks that were bet on, (…, effects), and the baseline's (bad, all) trials in them."""
        has_begun = (np.arange(self.starts) < self.begun)[:, None]
        wealth = self.log_wealth + np.where(has_begun, log_factors[..., None, :], 0.0)
        return replace(
            self, log_wealth=wealth, baseline=(self.baseline[0] + baseline[0], self.baseline[1] + baseline[1])
        )

    @property
    def log_evidence(self) -> Rates:
        """The natural logarithm of the evidence against the candidate, (…)."""
        return mean_of(self.log_wealth)


def mean_of(log_wealth: Rates) -> Rates:
    """The logarithm of the mean over starts and effects, (…, starts, effects) → (…)."""
    top = log_wealth.max(axis=(-2, -1), keepdims=True)
    mean = np.exp(log_wealth - top).mean(axis=(-2, -1))
    return np.asarray(np.log(mean) + top[..., 0, 0])


def _floats(counts: tuple[Any, Any]) -> tuple[Rates, Rates]:
    return np.asarray(counts[0], float), np.asarray(counts[1], float)


def _columns(counts: tuple[Rates, Rates]) -> tuple[Rates, Rates]:
    bad, trials = _floats(counts)
    return bad[..., None], trials[..., None]
