"""What has expired and is in nobody's way goes by itself.

===========================================  ==========================================================================
goes                                         when
===========================================  ==========================================================================
a key from the gateway's state               ``KEY_S`` after its expiry; its row stays, as of a revoked one
``*.new`` in journal, marks, feedback, spill nobody holds its lock: its process died while it was making the file
``*.tmp`` in the home and of payloads        ``PARTIAL_S`` after it was written: its writer died before it was whole
``payload-key.*.new``                        likewise
a folder of the cache                        ``CACHE_S`` after its last load, if no kept revision or shadow has it
===========================================  ==========================================================================

Others see to the rest: ``nodes`` to applications of old revisions, ``repair`` to turns of dead processes, ``draining``
to journals of dead replicas, old usage events and request logs, ``aside.charge`` to marks of dead replicas.
"""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.leases.lease import Lease
from aimass.control.revisions.standing import standings
from aimass.control.shadows.stored import standing_shadows
from aimass.core.home import Home, owning
from aimass.database import state_number
from aimass.database.tables import KeyRow, RevisionRow
from aimass.monitoring.payloads.spill import FOLDER as SPILL
from aimass.registry.artifacts import folder_of
from aimass.serving.layout import Layout

SWEEP_S = 60.0
KEY_S = 3600.0  # until then its callers hear that it has expired, not that there is no such key
UNREADY_S = 60.0
PARTIAL_S = 600.0
CACHE_S = 86_400.0


def sweep(context: Context, lease: Lease) -> list[str]:
    """One look; what went, in words."""
    home, now = context.settings.home, context.clock.now()
    with context.database.reading() as session:
        needed = _needed(session)
    said = [
        _counted(_expire_keys(context, lease, now), "expired key"),
        _counted(sum(_end_unready(path, now) for path in _unready(home)), "unfinished file"),
        _counted(sum(_end_older(path, now - PARTIAL_S) for path in _partial(home)), "half-written file"),
        _counted(sum(_end_checkout(path, needed, now) for path in home.cache.glob("*")), "unused checkout"),
    ]
    return [f"swept {what}" for what in said if what]


def _expire_keys(context: Context, lease: Lease, now: float) -> int:
    expired = (KeyRow.revoked_at.is_(None), KeyRow.expires_at < now - KEY_S)
    with context.database.reading() as session:
        if session.query(KeyRow).where(*expired).count() == 0:
            return 0
    with lease.session() as session:
        done = session.execute(update(KeyRow).where(*expired).values(revoked_at=KeyRow.expires_at))
        number = state_number.bump(session)
    context.pusher.push(number)
    return int(done.rowcount)  # type: ignore[attr-defined]


def _needed(session: Session) -> set[str]:
    """Names of the cache's folders that kept revisions and shadows load from."""
    needed = set()
    for service, now in standings(session).items():
        for number in now.kept:
            needed |= _folders(session.get_one(RevisionRow, (service, number)).layout)
    for rows in standing_shadows(session).values():
        for row in rows:
            needed |= _folders(row.layout) if row.layout else set()
    return needed


def _folders(document: dict[str, Any]) -> set[str]:
    layout = Layout.from_json(document)
    parts = (layout, *(fanout.layout for fanout in layout.apps.values()))
    return {folder_of(node.files) for part in parts for node in part.nodes if node.files}


def _unready(home: Home) -> Iterator[Path]:
    for folder in (home.journal, home.marks, home.feedback, home.payloads / SPILL):
        yield from folder.glob("*.new")


def _partial(home: Home) -> Iterator[Path]:
    yield from home.path.glob("*.tmp")
    yield from home.path.glob(f"{home.payload_key_file.name}.*.new")
    yield from home.payloads.glob("*.tmp")
    yield from home.payloads.glob("service=*/day=*/*.tmp")


def _end_unready(path: Path, now: float) -> bool:
    """A process that lives holds its file's lock from the moment after it has made it."""
    with suppress(OSError), owning(path) as is_ours:
        return is_ours and _end_older(path, now - UNREADY_S)
    return False


def _end_older(path: Path, before: float) -> bool:
    with suppress(OSError):
        if path.stat().st_mtime < before:
            path.unlink()
            return True
    return False


def _end_checkout(path: Path, needed: set[str], now: float) -> bool:
    with suppress(OSError):
        if path.name not in needed and path.is_dir() and path.stat().st_mtime < now - CACHE_S:
            shutil.rmtree(path)
            return True
    return False


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}" if number else ""
