"""``aimass down``: stops the platform of a home from outside, dead or alive, and nothing else."""

import signal
from dataclasses import dataclass

from aimass.control.platform import leftovers, lock
from aimass.control.platform.processes import Process, inspect, send, wait_gone
from aimass.core.home import Home

PATIENCE_S = 40.0  # `aimass up` bounds its own stop well below this


@dataclass(frozen=True)
class Stopped:
    """What was done: a running platform ended, leftovers of a dead one cleared, or nothing found."""

    pid: int  # of the platform that ran; 0: none did
    cleared: str  # leftovers in words; empty: none


def stop(home: Home) -> Stopped:
    """Asks the platform's ``aimass up`` to stop, ends it if it does not, and clears what is left."""
    found = leftovers.running(home)
    if found is not None:
        process = inspect(found.pid)
        if process is not None:
            _end(process)
    left = leftovers.Leftovers((), False, False) if lock.is_held(home) else leftovers.find(home)
    if left:
        leftovers.clear(home)
    return Stopped(found.pid if found else 0, str(left))


def _end(process: Process) -> None:
    send(process, signal.SIGTERM)
    for stubborn in wait_gone([process], PATIENCE_S):
        send(stubborn, signal.SIGKILL)
        wait_gone([stubborn], 5.0)
