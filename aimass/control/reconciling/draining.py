"""Journals into the database, for ever, in a thread that gives way to everything else on the machine."""

import logging
import os
import threading
from pathlib import Path

from aimass.core.errors import AimassError
from aimass.database.engine import Database
from aimass.metering.drain import drain_once

NICE = 15
EVENTS = 5_000  # a transaction holds writers up for some 50 ms
REST_S = 1.0
BUSY_REST_S = 0.1  # between full passes, so that other writers get their turn

_log = logging.getLogger(__name__)


def start_draining(database: Database, folder: Path) -> threading.Thread:
    """The thread; it ends with its process, and a drain that is cut off is repeated without harm."""
    thread = threading.Thread(target=_drain_forever, args=(database, folder), name="aimass-drain", daemon=True)
    thread.start()
    return thread


def _drain_forever(database: Database, folder: Path) -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)  # Linux keeps priorities by thread
    rest = threading.Event()
    while True:
        full = False
        try:
            full = drain_once(database, folder, EVENTS) >= EVENTS
        except (AimassError, OSError) as error:
            _log.warning("journals were not drained, and will be: %s", error)
        rest.wait(BUSY_REST_S if full else REST_S)
