"""Rows to which the candidate, as a shadow of the baseline, answers something else."""

from aimass.monitoring.guards.base import Guard, Tally, Trials
from aimass.monitoring.sequential.limit import Limit


class AgreementGuard(Guard):
    """``tolerance``: the share of rows that may differ. There is no baseline to this: it is what rows differ from."""

    WHAT = "rows answered otherwise"
    TOLERANCE = 0.05
    LEAST = 100

    @property
    def limit(self) -> Limit:
        return Limit(0.0, self.tolerance)

    def _trials(self, baseline: Tally, candidate: Tally) -> tuple[Trials, Trials]:
        return Trials(), Trials(candidate.differing, candidate.compared)
