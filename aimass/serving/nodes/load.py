"""How loaded a node's replica is, as autoscaling policies want to know it. Pure; the caller passes the time."""

from collections import deque

from aimass.serving.autoscaling.base import IN_FLIGHT, P95_S

FRESH_S = 2.0  # what a sender said about its queue holds that long
WINDOW_S = 10.0  # of calls that the percentile is taken of
MAX_CALLS = 2000


class NodeLoad:
    """Requests, not calls: several travel in one. Those that wait at the senders count as well."""

    def __init__(self) -> None:
        self._running = 0.0
        self._waiting: dict[str, tuple[float, float]] = {}  # sender → requests for this replica, and when it said so
        self._taken: deque[tuple[float, float]] = deque(
            maxlen=MAX_CALLS
        )  # when, and seconds of a call's oldest request

    def begin(self, requests: float, sender: str, waiting: float, now: float) -> None:
        """A call has come."""
        self._running += requests
        self._waiting[sender] = (waiting, now)

    def end(self, requests: float, seconds: float, now: float) -> None:
        """It has its answer; its oldest request waited and ran for so long."""
        self._running -= requests
        self._taken.append((now, seconds))

    def figures(self, now: float) -> dict[str, float]:
        """By the names that ``serving.autoscaling`` knows."""
        self._waiting = {who: told for who, told in self._waiting.items() if now - told[1] <= FRESH_S}
        recent = sorted(seconds for at, seconds in self._taken if now - at <= WINDOW_S)
        figures = {IN_FLIGHT: max(0.0, self._running) + sum(requests for requests, _ in self._waiting.values())}
        if recent:
            figures[P95_S] = recent[min(len(recent) - 1, int(0.95 * len(recent)))]
        return figures
