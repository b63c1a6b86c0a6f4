"""What becomes of a rollout at a look. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from aimass.control.rollouts.record import State
from aimass.monitoring.guards.base import Trials
from aimass.monitoring.guards.judging import Judgement, Verdict


@dataclass(frozen=True)
class Progress:
    """Of the step that a rollout is at."""

    state: State
    step: int
    steps: tuple[float, ...]
    lasted_s: float
    least_s: float
    requests: float  # of the candidate
    least_requests: float

    @property
    def is_long_enough(self) -> bool:
        return self.lasted_s >= self.least_s and self.requests >= self.least_requests


@dataclass(frozen=True)
class Decision:
    """How the rollout stands from here on."""

    state: State
    step: int
    why: str


def decide(progress: Progress, judgements: Sequence[Judgement]) -> Decision:
    """A guard that fails returns it, also while it is paused. A step goes forward when it has lasted, the candidate has
    had its requests, and every guard has seen enough with nothing against the candidate; else it waits or holds."""
    failed = [item for item in judgements if item.verdict is Verdict.FAILED]
    if failed:
        return Decision(State.RETURNED, progress.step, "; ".join(map(say, failed)))
    if progress.state is State.PAUSED:
        return Decision(State.PAUSED, progress.step, "paused")
    suspect = [item for item in judgements if item.verdict is Verdict.SUSPECT]
    if suspect:
        return Decision(State.HOLDING, progress.step, "inconclusive: " + "; ".join(map(say, suspect)))
    if not progress.is_long_enough:
        return Decision(State.RUNNING, progress.step, "the step goes on")
    waiting = [item.guard for item in judgements if item.verdict is Verdict.WAITING]
    if waiting:
        return Decision(State.HOLDING, progress.step, f"too little data for {' and '.join(waiting)}")
    following = progress.step + 1
    why = "no guard has anything against it" if judgements else "no guards were asked for"
    state = State.PROMOTED if progress.steps[following] == progress.steps[-1] else State.RUNNING
    return Decision(state, following, f"step {following} passed: {why}")


def say(judgement: Judgement) -> str:
    """A judgement in one line."""
    beside = f", {_rate(judgement.baseline)} of the baseline" if judgement.baseline.all else ""
    return (
        f"{judgement.guard}: {_rate(judgement.candidate)} {judgement.what}{beside}; allowed {judgement.allowed:.2%}, "
        f"evidence {_odds(judgement.evidence)} to 1 against it, {judgement.needed:.0f} to 1 returns it"
    )


def _rate(trials: Trials) -> str:
    share = trials.bad / trials.all if trials.all else 0.0
    return f"{share:.2%} ({trials.bad:,.0f} of {trials.all:,.0f})"


def _odds(evidence: float) -> str:
    return f"{evidence:,.3g}" if evidence < 1e6 else "over a million"
