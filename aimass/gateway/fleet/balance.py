"""A replica's load: how many requests it has to do with, and how many connections it lets go to even it out.

Connections that are kept alive stay with the replica they were opened to; after a scale-up the old replicas would
keep them all. A replica that answers more than the mean closes some; their clients connect anew, anywhere.
"""

from collections import deque
from random import Random

from aimass.gateway.metrics import SECONDS

TOLERATED = 1.1  # times the mean; the kernel's spreading of new connections is coarser than that anyway
QUIET_PER_S = 5.0  # below this many requests a second nothing is worth moving
LAG_WEIGHT = 0.2  # of the newest sample in the mean lag of the event loop


class Load:
    """Requests in flight by Little's law: those that wait for a thread or a body are counted, those that wait for
    the event loop are estimated from its lag times the rate (an inline call is over before anyone could count it)."""

    def __init__(self) -> None:
        self.requests_per_s = 0.0
        self._lag_s = 0.0
        self._requests = 0.0
        self._answered: deque[list[int]] = deque(maxlen=11)

    def sample_lag(self, seconds: float) -> None:
        """How late a timer of the event loop was."""
        self._lag_s += LAG_WEIGHT * (seconds - self._lag_s)

    def sample_requests(self, total: float, seconds: float) -> None:
        """All requests so far, ``seconds`` after the last time."""
        self.requests_per_s = (total - self._requests) / seconds
        self._requests = total

    def sample_seconds(self, buckets: list[int]) -> None:
        """Calls so far by the bucket of ``metrics.SECONDS`` that each fell into; once a second."""
        self._answered.append(buckets)

    @property
    def p95_s(self) -> float | None:
        """Of the last ten seconds' calls: the upper end of the bucket that holds it. None without a call."""
        if not self._answered:
            return None
        counts = [now - then for now, then in zip(self._answered[-1], self._answered[0], strict=True)]
        left = 0.95 * sum(counts)
        for bound, count in zip((*SECONDS, SECONDS[-1]), counts, strict=True):
            left -= count
            if count and left <= 0:
                return bound
        return None

    def in_flight(self, counted: int) -> float:
        """Requests in flight, ``counted`` of them for certain."""
        return counted + self.requests_per_s * self._lag_s


class Balancer:
    """Says which answers close their connection."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._left = 0
        self._chance = 0.0

    def update(self, mine_per_s: float, mean_per_s: float, connections: int, replicas: int) -> None:
        """Once a second: close as many connections as lie above the mean, spread over the next second's answers."""
        self._left = 0
        if replicas < 2 or mean_per_s < QUIET_PER_S or mine_per_s <= TOLERATED * mean_per_s:
            return
        surplus = connections * (1 - mean_per_s / mine_per_s)
        # A client comes back to this replica with a chance of one in `replicas`.
        self._left = max(1, round(surplus * replicas / (replicas - 1)))
        self._chance = min(1.0, 2 * self._left / mine_per_s)

    def closes(self) -> bool:
        """Whether this answer closes its connection."""
        if not self._left or self._random.random() >= self._chance:
            return False
        self._left -= 1
        return True
