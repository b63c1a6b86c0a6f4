"""Calls slower than the baseline's 95th percentile: p95 is above a bound just when more than 5 % of calls are."""

from aimass.monitoring.guards.base import Guard, Tally, Trials
from aimass.monitoring.sequential.limit import Limit


class LatencyGuard(Guard):
    """A tenth more of them than the baseline has at the same time is well, and ``tolerance`` of all calls on top."""

    WHAT = "slow calls"
    TOLERANCE = 0.05
    LEAST = 1

    @property
    def limit(self) -> Limit:
        return Limit(1.1, self.tolerance)

    def _trials(self, baseline: Tally, candidate: Tally) -> tuple[Trials, Trials]:
        return Trials(baseline.slow, baseline.answered), Trials(candidate.slow, candidate.answered)
