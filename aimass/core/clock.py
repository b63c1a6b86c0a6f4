"""Time as a value that is passed in, so that tests decide what time it is."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings: one that only ever grows, and the time of day."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now

    def monotonic(self) -> float:
        return self._now

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds
