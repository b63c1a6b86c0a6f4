"""Journals into the database: each event once, however often it is tried, wherever it was cut off."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from aimass.core.clock import Clock, SystemClock
from aimass.core.home import owner_is_gone
from aimass.database.engine import Database
from aimass.database.tables import JournalRow, UsageEventRow
from aimass.metering.journal import SUFFIX, decode_event

CHUNK_BYTES = 1024 * 1024
INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def drain_once(database: Database, folder: Path, limit: int = 10_000, clock: Clock | None = None) -> int:
    """Take over up to ``limit`` events of all journals; the number of events that were new.

    A journal whose owner is gone is deleted when nothing is left in it. Where the drain stands and what it drained
    are one transaction, an event's key is unique, and what is in a sum already is known (see ``rollup``), so a drain
    that is killed is repeated without harm.
    """
    drained = 0
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if drained >= limit:
            break
        drained += _drain_file(database, path, limit - drained, clock or SystemClock())
    return drained


def _drain_file(database: Database, path: Path, limit: int, clock: Clock) -> int:
    dead = owner_is_gone(path)  # asked before reading: what a living owner adds meanwhile is read next time
    drained = 0
    while drained < limit:
        if not dead and not _has_more(database, path):
            break  # the usual case, without a writing transaction
        with database.session() as session:
            count, finished = _drain_chunk(session, path, limit - drained, clock.now())
        drained += count
        if finished:
            if dead:
                path.unlink(missing_ok=True)
            break
    return drained


def _has_more(database: Database, path: Path) -> bool:
    with database.reading() as session:
        row = session.get(JournalRow, path.stem)
    return path.stat().st_size > (row.offset if row else 0)


def _drain_chunk(session: Session, path: Path, limit: int, now: float) -> tuple[int, bool]:
    """Events taken over from one chunk, and whether the file held no more whole line."""
    row = session.get(JournalRow, path.stem)
    if row is None:
        row = JournalRow(id=path.stem, offset=0, updated_at=now, rolled_seq=0)
        session.add(row)
    lines = read_lines(path, row.offset, limit)
    if not lines:
        return 0, True
    decoded = [decode_event(path.stem, line) for line in lines]
    events = [event for event in decoded if event is not None and event.seq > row.rolled_seq]
    if events:
        dialect = session.get_bind().dialect.name
        insert = INSERTS[dialect](UsageEventRow).on_conflict_do_nothing()
        session.execute(insert, [asdict(event) for event in events])
    row.offset += sum(len(line) + 1 for line in lines)
    row.updated_at = now
    return len(events), False


def read_lines(path: Path, offset: int, limit: int) -> list[bytes]:
    """Up to ``limit`` whole lines of a journal from there on; none at its end, or where it is gone."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            chunk = file.read(CHUNK_BYTES)
            if len(chunk) == CHUNK_BYTES and b"\n" not in chunk:
                chunk += file.readline()  # one line longer than a chunk must not pass for the end of the file
    except FileNotFoundError:
        return []
    return chunk.split(b"\n")[:-1][:limit]
