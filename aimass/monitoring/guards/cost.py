"""Looks in which a row cost the candidate much more time than it cost the baseline.

A row's cost has no bound and no known distribution, so what is tested is its sign, look by look: that the candidate is
too dear in at most half of them, as it is if its median look is within the tolerance. Nothing else is supposed.

Time is that from a call's head to its answer. Processor time by revision is known too (``serving.marks``), but counts
what the revision ran as a shadow, and nothing of nodes elsewhere: per answered row, a revision that was a shadow first
would be held for a dear one.
"""

from aimass.monitoring.guards.base import Guard, Tally, Trials
from aimass.monitoring.sequential.limit import Limit

ENOUGH_CALLS = 5  # of each revision; fewer make no mean worth comparing


class CostGuard(Guard):
    """``tolerance``: how much more time a row may take, as a share of what it takes the baseline."""

    WHAT = "looks in which a row took too long"
    TOLERANCE = 0.5
    LEAST = 5

    @property
    def limit(self) -> Limit:
        return Limit(0.0, 0.5)

    def _trials(self, baseline: Tally, candidate: Tally) -> tuple[Trials, Trials]:
        if min(baseline.answered, candidate.answered) < ENOUGH_CALLS or not (baseline.rows and candidate.rows):
            return Trials(), Trials()
        is_dear = candidate.total_s / candidate.rows > (1 + self.tolerance) * baseline.total_s / baseline.rows
        return Trials(), Trials(float(is_dear), 1.0)
