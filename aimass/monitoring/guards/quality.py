"""Rows answered wrongly, by the labels that come back as feedback."""

from aimass.monitoring.guards.base import Guard, Tally, Trials
from aimass.monitoring.sequential.limit import Limit


class QualityGuard(Guard):
    """The candidate may be wrong in ``tolerance`` more of the labelled rows than the baseline."""

    WHAT = "labelled rows answered wrongly"
    TOLERANCE = 0.02
    LEAST = 50

    @property
    def limit(self) -> Limit:
        return Limit(1.0, self.tolerance)

    def _trials(self, baseline: Tally, candidate: Tally) -> tuple[Trials, Trials]:
        return Trials(baseline.wrong, baseline.labelled), Trials(candidate.wrong, candidate.labelled)
