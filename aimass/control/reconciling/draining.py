"""Journals into the database, for ever, in a thread that gives way to everything else on the machine.

The same thread takes feedback over, rolls up what has grown old, and removes old request logs.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable

from aimass.control.feedback.taking import Taking
from aimass.core.clock import Clock
from aimass.core.errors import AimassError
from aimass.core.settings import Settings
from aimass.database.engine import Database
from aimass.metering.drain import drain_once
from aimass.metering.rollup import HOUR_S, roll_up
from aimass.monitoring.clearing import clear_old

NICE = 15
EVENTS = 1_000  # a transaction holds writers up for some 10 ms; for as many seconds where this thread hardly runs
REST_S = 1.0
BUSY_REST_S = 0.02  # between full passes, or as long as the pass took: SQLite's writers do not queue, they look again
CLEAR_S = 60.0
DAY_S = 86400

_log = logging.getLogger(__name__)


class Draining:
    """One pass after another."""

    def __init__(self, database: Database, settings: Settings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._clear_at = clock.monotonic()
        self._feedback = Taking(database, settings, clock)
        self._again_at: dict[str, float] = {}  # what went wrong rests until then

    def step(self) -> bool:
        """A pass; whether there is more to do at once. What goes wrong with usage or feedback holds up only itself."""
        is_usage_full = self._guarded("usage", self._take_usage)
        return self._guarded("feedback", self._feedback.step) or is_usage_full

    def _guarded(self, what: str, take: Callable[[], bool]) -> bool:
        if self._clock.monotonic() < self._again_at.get(what, -math.inf):
            return False
        try:
            return take()
        except (AimassError, OSError) as error:
            _log.warning("journals of %s were not drained, and will be: %s", what, error)
        except Exception:  # noqa: BLE001 - nobody else would hear of it, and all that follows would be missing
            _log.exception("a pass over the journals of %s went wrong; the next one follows", what)
        self._again_at[what] = self._clock.monotonic() + REST_S
        return False

    def _take_usage(self) -> bool:
        now, journal = self._clock.now(), self._settings.home.journal
        full = drain_once(self._database, journal, EVENTS, self._clock) >= EVENTS
        if self._clock.monotonic() >= self._clear_at:
            before = now - self._settings.usage_events_hours * HOUR_S
            rolled_full = roll_up(self._database, journal, before, EVENTS) >= EVENTS
            full = full or rolled_full
            if not rolled_full:
                self._clear_at = self._clock.monotonic() + CLEAR_S
                oldest = now - self._settings.request_log_days * DAY_S
                clear_old(self._settings.home.logs, oldest, self._settings.request_log_bytes)
        return full


def start_draining(draining: Draining, may_drain: Callable[[], bool]) -> threading.Thread:
    """The thread; it ends with its process, and a pass that is cut off is repeated without harm. ``may_drain``: asked
    before each pass."""
    thread = threading.Thread(target=_drain_forever, args=(draining, may_drain), name="aimass-drain", daemon=True)
    thread.start()
    return thread


def _drain_forever(draining: Draining, may_drain: Callable[[], bool]) -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)  # Linux keeps priorities by thread
    rest = threading.Event()
    while True:
        full, began = False, time.monotonic()
        try:
            full = may_drain() and draining.step()
        except Exception:  # noqa: BLE001 - nobody else would hear of it, and all that follows would be missing
            _log.exception("a pass over the journals went wrong; the next one follows")
        rest.wait(max(BUSY_REST_S, time.monotonic() - began) if full else REST_S)
