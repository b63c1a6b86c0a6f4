"""``aimass down``: stops the platform of a home from outside, dead, alive or starting, and nothing else."""

import signal
import time
from dataclasses import dataclass

from aimass.control.platform import leftovers, lock
from aimass.control.platform.processes import Process, inspect, send, wait_gone
from aimass.core.errors import Conflict
from aimass.core.home import Home

PATIENCE_S = 40.0  # `aimass up` bounds its own stop well below this
TURN_S = 60.0  # another `aimass down` needs less to clear a home


@dataclass(frozen=True)
class Stopped:
    """What was done: a running platform ended, leftovers of a dead one cleared, or nothing found."""

    pid: int  # of the platform that ran or was starting; 0: none did
    cleared: str  # leftovers in words; empty: none


def stop(home: Home) -> Stopped:
    """Asks the home's ``aimass up``, however far it has come, to stop; ends it if it does not; clears what is left.

    It clears under the home's lock, so that nobody starts there meanwhile.
    """
    if not home.path.is_dir():
        return Stopped(0, _clear(home))
    ended = 0
    until = time.monotonic() + TURN_S
    while True:
        try:
            with lock.hold(home, sign=False):
                return Stopped(_end_unlocked(home) or ended, _clear(home))
        except Conflict:
            process = lock.holder(home)
            if process is not None:
                _end(process)
                ended = process.pid
            elif time.monotonic() > until:
                raise
            else:
                time.sleep(0.05)  # it has not signed yet, or is another `aimass down`


def _end_unlocked(home: Home) -> int:
    """The pid of a platform that runs although nobody holds the lock, as when its file was deleted; 0: none does."""
    found = leftovers.running(home)
    process = inspect(found.pid) if found else None
    if process is None:
        return 0
    _end(process)
    return process.pid


def _clear(home: Home) -> str:
    left = leftovers.find(home)
    if left:
        leftovers.clear(home)
    return str(left)


def _end(process: Process) -> None:
    send(process, signal.SIGTERM)
    for stubborn in wait_gone([process], PATIENCE_S):
        send(stubborn, signal.SIGKILL)
        wait_gone([stubborn], 5.0)
