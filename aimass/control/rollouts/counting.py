"""From what replicas and feedback have counted to what guards look at."""

import math

from sqlalchemy.orm import Session

from aimass.gateway.metrics import SECONDS, Snapshot
from aimass.monitoring.feedback.quality import quality
from aimass.monitoring.guards.base import Tally

FAILED = 500  # from this status on a call counts as failed; below it is the caller's mistake
P95 = 0.95
ENOUGH_CALLS = 100  # for a p95 of its own


def tally(session: Session, counts: Snapshot, service: str, revision: int, bound_s: float = math.inf) -> Tally:
    """All that was ever counted of a revision; calls longer than ``bound_s``, a bound of ``SECONDS``, are slow."""
    labels = (service, str(revision))
    by_status = {int(code): times for (*who, code), times in counts.requests.items() if tuple(who) == labels}
    *buckets, total_s = counts.seconds.get(labels, [0.0] * (len(SECONDS) + 2))
    edges = (*SECONDS, math.inf)
    told = quality(session, service).get(revision)
    compared, agreed = _as_shadow(counts, service, revision)
    return Tally(
        answered=sum(buckets),
        failed=sum(times for code, times in by_status.items() if code >= FAILED),
        slow=sum(times for edge, times in zip(edges, buckets, strict=True) if edge > bound_s),
        total_s=total_s,
        rows=counts.rows.get(labels, [0.0])[-1],
        labelled=told.labelled if told else 0.0,
        wrong=told.labelled - told.right if told else 0.0,
        compared=compared,
        differing=compared - agreed,
    )


def _as_shadow(counts: Snapshot, service: str, revision: int) -> tuple[float, float]:
    """Rows with a label that it answered beside others as their shadow, and those to which both said the same."""
    found = {"labelled_rows": 0.0, "agreed_rows": 0.0}
    for (of, _, shadow, event, _), times in counts.shadows.items():
        if (of, shadow) == (service, str(revision)) and event in found:
            found[event] += times
    return found["labelled_rows"], found["agreed_rows"]


def p95_bound(counts: Snapshot, service: str, revision: int, slo_ms: float | None) -> float:
    """Seconds that 95 % of the revision's calls so far stayed within; before it had enough, the bound over what the
    service's document promises; infinite where there is neither."""
    buckets = counts.seconds.get((service, str(revision)), [0.0])[:-1]
    if sum(buckets) >= ENOUGH_CALLS:
        within = 0.0
        for edge, times in zip(SECONDS, buckets, strict=False):
            within += times
            if within >= P95 * sum(buckets):
                return edge
        return math.inf
    if slo_ms is None:
        return math.inf
    return next((edge for edge in SECONDS if edge >= slo_ms / 1e3), math.inf)
