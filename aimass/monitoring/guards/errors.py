"""Calls that failed, by the candidate and by the baseline at the same time."""

from aimass.monitoring.guards.base import Guard, Tally, Trials
from aimass.monitoring.sequential.limit import Limit


class ErrorsGuard(Guard):
    """A tenth more of them than the baseline has is well, and ``tolerance`` of all calls on top."""

    WHAT = "calls that failed"
    TOLERANCE = 0.001
    LEAST = 1

    @property
    def limit(self) -> Limit:
        return Limit(1.1, self.tolerance)

    def _trials(self, baseline: Tally, candidate: Tally) -> tuple[Trials, Trials]:
        return _of(baseline), _of(candidate)


def _of(tally: Tally) -> Trials:
    return Trials(tally.failed, tally.answered + tally.failed)
