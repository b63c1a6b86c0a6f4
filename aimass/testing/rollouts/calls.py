"""Calls that are made up: the counts of a service's replicas, as if so many calls had been answered."""

from bisect import bisect_left

from aimass.gateway.metrics import ROWS, SECONDS, Snapshot


def count_calls(
    counts: Snapshot, service: str, revision: int, answered: int, failed: int = 0, seconds: float = 0.002
) -> None:
    """Adds calls of one row each, all of them as long as ``seconds``."""
    labels = (service, str(revision))
    for code, times in (("200", answered), ("500", failed)):
        counts.requests[(*labels, code)] = counts.requests.get((*labels, code), 0.0) + times
    lasted = counts.seconds.setdefault(labels, [0.0] * (len(SECONDS) + 2))
    lasted[bisect_left(SECONDS, seconds)] += answered
    lasted[-1] += answered * seconds
    rows = counts.rows.setdefault(labels, [0.0] * (len(ROWS) + 2))
    rows[0] += answered
    rows[-1] += answered
