"""How many second tries a node gets: a share of its calls, so that retries never become the load. Pure."""

RETRY_SHARE = 0.1
"""Of the calls: the retry budget of Google's SRE book ("Handling Overload": 10 %)."""

FLOOR_PER_S = 10.0
"""Beside the share, so that a node with few calls has retries too: Finagle's ``minRetriesPerSec``."""

BURST = 100.0
"""The most tries that are saved up: Finagle's ten seconds of the floor."""


class RetryBudget:
    """A token bucket in the manner of Finagle's ``RetryBudget``: each call pays in a share of a try, time pays in a
    floor, each second try takes one. Retries and hedges share it. ``now``: monotonic seconds."""

    def __init__(
        self, now: float, share: float = RETRY_SHARE, floor_per_s: float = FLOOR_PER_S, burst: float = BURST
    ) -> None:
        self._share = share
        self._floor_per_s = floor_per_s
        self._burst = burst
        self._tries = floor_per_s
        self._filled_s = now

    def earn(self, now: float) -> None:
        """A call was made."""
        self._tries = min(self._burst, self._tries + self._share + (now - self._filled_s) * self._floor_per_s)
        self._filled_s = now

    def take(self, now: float) -> bool:
        """Whether one more try may be made; it is then spent."""
        self._tries = min(self._burst, self._tries + (now - self._filled_s) * self._floor_per_s)
        self._filled_s = now
        if self._tries < 1:
            return False
        self._tries -= 1
        return True
