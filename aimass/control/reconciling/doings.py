"""What the reconciler has done by itself of late, for people to see."""

import logging
import threading
from collections import deque

from aimass.core.clock import Clock

RECENT_S = 60.0
MOST = 100
_log = logging.getLogger(__name__)


class Doings:
    """Safe to use from many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: deque[tuple[float, str]] = deque(maxlen=MOST)
        self._lock = threading.Lock()

    def say(self, what: str) -> None:
        """Something was done, or is being done: it stands with the time at which it was said first."""
        with self._lock:
            now = self._clock.now()
            if not any(text == what and now - at < RECENT_S for at, text in self._said):
                self._said.append((now, what))
                _log.info("%s", what)

    def recent(self) -> tuple[tuple[float, str], ...]:
        """Of the last minute: (time of day, what), oldest first."""
        with self._lock:
            return tuple((at, what) for at, what in self._said if self._clock.now() - at < RECENT_S)
