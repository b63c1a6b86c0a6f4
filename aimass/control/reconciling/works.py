"""What the reconciler does again and again: each work in a thread of its own, those that need it under the lease."""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from aimass.control.leases.lease import Lease
from aimass.core.errors import AimassError

LOOK_S = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """One thing to do every ``every_s``, and whenever it is woken. ``needs_lease``: it changes something by itself
    (Serve, traffic, rows), so that only the reconciler that leads does it; else it may be done by several at once."""

    name: str
    do: Callable[[], Any]
    needs_lease: bool
    every_s: float = LOOK_S
    wake: threading.Event = field(default_factory=threading.Event)


def start_works(works: Iterable[Work], lease: Lease) -> list[threading.Thread]:
    """Their threads, which end with the process."""
    threads = [
        threading.Thread(target=_for_ever, args=(work, lease), name=f"aimass_{work.name}", daemon=True)
        for work in works
    ]
    for thread in threads:
        thread.start()
    return threads


def _for_ever(work: Work, lease: Lease) -> None:
    while True:
        try:
            if not work.needs_lease or lease.holds():
                work.do()
        except AimassError as error:  # the database is away, most likely
            _log.warning("%s failed, and is tried again: %s", work.name, error)
        except Exception:  # noqa: BLE001 - the next look tries again
            _log.exception("%s failed", work.name)
        work.wake.wait(work.every_s)
        work.wake.clear()
