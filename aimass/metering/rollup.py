"""Usage events that have grown old become sums by the hour, so that the database grows with keys, not with calls.

An event is rolled up once: its row goes in the transaction that adds it to its sum, and the journal's row remembers
up to which seq that has happened. A journal hands its events out in the order of their seq, so whatever a repeated
drain brings from below that mark is in a sum already.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import case, delete, select
from sqlalchemy.orm import Session

from aimass.database.engine import Database
from aimass.database.tables import JournalRow, UsageEventRow, UsageHourRow
from aimass.metering.drain import INSERTS
from aimass.metering.journal import SUFFIX

HOUR_S = 3600
KEY = ("hour", "account", "key_id", "service", "revision", "plan")
SUMS = ("calls", "rows", "bytes_in", "bytes_out", "total_us")


def roll_up(database: Database, folder: Path, before: float, limit: int = 10_000) -> int:
    """Sum up to ``limit`` events from before that time (epoch seconds); how many it were.

    A journal's events go in their order: one that a clock set back has dated too early waits for those before it.
    What is known of a journal is forgotten when its file in ``folder`` and its last single event are gone.
    """
    rolled = 0
    with database.reading() as session:
        journals = session.execute(select(JournalRow.id, JournalRow.updated_at)).all()
    for journal, updated_at in journals:
        if rolled >= limit:
            break
        with database.reading() as session:
            first = session.scalar(_singles(journal, UsageEventRow.at).limit(1))
        if first is not None and first < before:
            with database.session() as session:
                rolled += _roll_journal(session, journal, before, limit - rolled)
        elif first is None and updated_at < before and not (folder / f"{journal}{SUFFIX}").exists():
            with database.session() as session:
                session.execute(delete(JournalRow).where(JournalRow.id == journal))
    return rolled


def _singles(journal: str, *columns: Any) -> Any:
    return select(*columns).where(UsageEventRow.journal == journal).order_by(UsageEventRow.seq)


def _roll_journal(session: Session, journal: str, before: float, limit: int) -> int:
    old = []
    for event in session.scalars(_singles(journal, UsageEventRow).limit(limit)):
        if event.at >= before:
            break
        old.append(event)
    if not old:
        return 0
    sums = list(_by_hour(old))
    dialect = session.get_bind().dialect.name
    insert = INSERTS[dialect](UsageHourRow)
    table, new = UsageHourRow, insert.excluded
    more: dict[str, Any] = {name: getattr(table, name) + getattr(new, name) for name in SUMS}
    more["first_at"] = case((new.first_at < table.first_at, new.first_at), else_=table.first_at)
    more["last_at"] = case((new.last_at > table.last_at, new.last_at), else_=table.last_at)
    session.execute(insert.on_conflict_do_update(index_elements=KEY, set_=more), sums)
    last = old[-1].seq
    session.execute(delete(UsageEventRow).where(UsageEventRow.journal == journal, UsageEventRow.seq <= last))
    session.get_one(JournalRow, journal).rolled_seq = last
    return len(old)


def _by_hour(events: Iterable[UsageEventRow]) -> Iterable[dict[str, Any]]:
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for event in events:
        key = (int(event.at // HOUR_S) * HOUR_S, *(getattr(event, name) for name in KEY[1:]))
        empty = {**dict.fromkeys(SUMS, 0), "first_at": event.at, "last_at": event.at}
        sums = found.setdefault(key, {**dict(zip(KEY, key, strict=True)), **empty})
        sums["first_at"], sums["last_at"] = min(sums["first_at"], event.at), max(sums["last_at"], event.at)
        sums["calls"] += 1
        for name in SUMS[1:]:
            sums[name] += getattr(event, name)
    return found.values()
