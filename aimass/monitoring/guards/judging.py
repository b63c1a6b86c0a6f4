"""What the guards of one rollout have seen, and what they say to it. Pure: looks go in, judgements come out."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np

from aimass.core import plugins
from aimass.monitoring.guards import GUARDS
from aimass.monitoring.guards.base import Guard, Tally, Trials
from aimass.monitoring.sequential.bounds import rate_bounds
from aimass.monitoring.sequential.comparison import Comparison

CAP = 10.0  # one look of half a second counts for no more than this: a hiccup is not a revision
SUSPECT = 5.0  # evidence from which on a rollout waits and looks on


class Verdict(StrEnum):
    """Of one guard at one moment."""

    FINE = "fine"  # it has seen enough, and nothing against the candidate
    WAITING = "waiting"  # too little to go by in this step
    SUSPECT = "suspect"  # more against the candidate than for it, and not enough to be sure
    FAILED = "failed"


@dataclass(frozen=True)
class Judgement:
    """What one guard says, with all that it says it on; rates since the rollout began."""

    guard: str
    what: str
    verdict: Verdict
    baseline: Trials
    candidate: Trials
    baseline_bounds: tuple[float, float]  # valid at all times; see ``rate_bounds``
    candidate_bounds: tuple[float, float]
    allowed: float  # the candidate's rate at most, beside the baseline's as it was counted
    evidence: float  # against the candidate
    needed: float  # from here on it is returned

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Watched:
    """One guard's memory."""

    comparison: Comparison
    unused: tuple[Tally, Tally] = (Tally(), Tally())  # what makes no trials of both revisions yet
    seen: tuple[Trials, Trials] = (Trials(), Trials())  # since the rollout began
    in_step: float = 0.0  # trials of the candidate

    def look(self, guard: Guard, baseline: Tally, candidate: Tally) -> Self:
        """After what was counted of both since the look before."""
        counted = self.unused[0] + baseline, self.unused[1] + candidate
        base, cand = guard.trials(*counted)
        if not cand.all or not (base.all or not guard.limit.ratio):
            return replace(self, unused=counted)
        return replace(
            self,
            comparison=self.comparison.look((base.bad, base.all), (cand.bad, cand.all)),
            unused=(Tally(), Tally()),
            seen=(self.seen[0] + base, self.seen[1] + cand),
            in_step=self.in_step + cand.all,
        )

    def start(self) -> Self:
        """A step begins."""
        return replace(self, comparison=self.comparison.start(), in_step=0.0)

    def to_json(self) -> dict[str, Any]:
        return {
            "wealth": self.comparison.log_wealth.tolist(),
            "begun": self.comparison.begun,
            "baseline": [float(item) for item in self.comparison.baseline],
            "unused": [asdict(item) for item in self.unused],
            "seen": [asdict(item) for item in self.seen],
            "in_step": self.in_step,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], guard: Guard) -> Self:
        wealth, (bad, trials) = np.array(data["wealth"]), map(np.array, data["baseline"])
        comparison = Comparison(guard.limit, len(wealth), data["begun"], wealth, (bad, trials), CAP)
        unused, seen = (Tally(**item) for item in data["unused"]), (Trials(**item) for item in data["seen"])
        return cls(comparison, (next(unused), next(unused)), (next(seen), next(seen)), data["in_step"])


def make_guard(name: str, tolerance: float | None = None) -> Guard:
    """``Invalid`` names what there is."""
    kind: type[Guard] = plugins.load_class(GUARDS, name, Guard, field="guards")  # type: ignore[type-abstract]
    return kind(tolerance)


def open_watch(guard: Guard, steps: int, before: Tally) -> Watched:
    """``steps`` of the rollout; ``before``: what was counted of the baseline until now."""
    known, _ = guard.trials(before, Tally())
    return Watched(Comparison.open(guard.limit, steps, (known.bad, known.all), CAP))


def judge(name: str, guard: Guard, watched: Watched, alpha: float, least: float) -> Judgement:
    """``alpha``: the probability with which this guard may fail a candidate that is within its limit; ``least``: trials
    of the candidate in this step, beside the guard's own least."""
    evidence = float(np.exp(min(float(watched.comparison.log_evidence), 700.0)))
    pending = guard.trials(*watched.unused)
    base, cand = watched.seen[0] + pending[0], watched.seen[1] + pending[1]
    rate = base.bad / base.all if base.all else 0.0
    return Judgement(
        guard=name,
        what=guard.WHAT,
        verdict=_verdict(evidence, 1 / alpha, watched.in_step, max(least, guard.LEAST)),
        baseline=base,
        candidate=cand,
        baseline_bounds=rate_bounds(base.bad, base.all, alpha),
        candidate_bounds=rate_bounds(cand.bad, cand.all, alpha),
        allowed=float(guard.limit.of(np.array(rate))),
        evidence=evidence if math.isfinite(evidence) else 1e300,
        needed=1 / alpha,
    )


def _verdict(evidence: float, needed: float, trials: float, least: float) -> Verdict:
    if evidence >= needed:
        return Verdict.FAILED
    if evidence >= SUSPECT:
        return Verdict.SUSPECT
    return Verdict.WAITING if trials < least else Verdict.FINE
