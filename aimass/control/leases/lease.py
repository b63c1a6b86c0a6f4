"""A lease in the database: of all who would lead, at most one acts at any moment, whatever their clocks say.

Nobody compares times of day. A holder acts for ``ACT_S`` after the start of its last renewal; another takes the lease
when it has watched the row for ``LEASE_S`` and it has not changed, or when the holder's process provably ended. Each
measures by its own monotonic clock, so only one that runs at a quite different speed could mislead. As in Kubernetes'
leader election; see DECISIONS.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aimass.control.leases.holder import Holder, is_surely_dead, me, read
from aimass.core.clock import Clock
from aimass.core.errors import Conflict
from aimass.database.engine import Database
from aimass.database.lease_tables import LeaseRow

LEASE_S = 10.0
ACT_S = 6.0  # what is begun at its end has four seconds until another may begin
RENEW_S = 2.0
LEADER = "reconciler"
NOBODY = ""


@dataclass(frozen=True)
class Held:
    """Who leads, for people."""

    holder: str
    since: float
    until: float


class Lease:
    """One candidate's view. Renewed from one thread, asked from many."""

    def __init__(self, database: Database, name: str, clock: Clock, holder: Holder | None = None) -> None:
        self._database = database
        self._name = name
        self._clock = clock
        self._me = holder or me()
        self._one_machine = database.engine.dialect.name == "sqlite"
        self._acts_until = float("-inf")
        self._seen: tuple[int, str] | None = None  # the row as it was seen last
        self._seen_at = 0.0
        self._lock = threading.Lock()

    def holds(self) -> bool:
        """Whether this one may act now. No look at the database."""
        return self._clock.monotonic() < self._acts_until

    def keep(self) -> bool:
        """Renew the lease, or take it if nobody else can hold it any more; whether this one may act now."""
        with self._lock:
            began = self._clock.monotonic()
            if self._may_take() and self._write():
                self._acts_until = began + ACT_S
            return self.holds()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A writing transaction that commits only while this one has the lease; else ``Conflict``."""
        with self._database.session() as session:
            row = session.get(LeaseRow, self._name, with_for_update=True)
            if row is None or row.holder != str(self._me):
                raise Conflict(f"another process has taken the lease {self._name} over")
            yield session

    def release(self) -> None:
        """Let another take it at once. The row stays, so that no beat of it ever comes twice."""
        with self._lock:
            self._acts_until = float("-inf")
            with self._database.session() as session:
                mine = update(LeaseRow).where(LeaseRow.name == self._name, LeaseRow.holder == str(self._me))
                session.execute(mine.values(holder=NOBODY, beat=LeaseRow.beat + 1))

    def _may_take(self) -> bool:
        """Looks at the row; it is ours, or gone, or has not changed for as long as a holder that lives lets it."""
        with self._database.reading() as session:
            row = session.get(LeaseRow, self._name)
        now = self._clock.monotonic()
        seen = (row.beat, row.holder) if row else None
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        if row is None or row.holder in (NOBODY, str(self._me)):
            return True
        if is_surely_dead(row.holder, self._me, self._one_machine):
            return True
        return now - self._seen_at >= LEASE_S

    def _write(self) -> bool:
        """Compare and set, in one statement that is right under any isolation level; whether the row is ours now."""
        now = self._clock.now()
        with suppress(IntegrityError), self._database.session() as session:  # somebody else was the first
            if self._seen is None:
                row = LeaseRow(name=self._name, holder=str(self._me), beat=1, since=now, until=now + LEASE_S, note={})
                session.add(row)
                session.flush()
                self._seen = (1, str(self._me))
                return True
            beat, holder = self._seen
            values = {"holder": str(self._me), "beat": beat + 1, "until": now + LEASE_S}
            if holder != str(self._me):
                values["since"] = now
            taken = session.execute(
                update(LeaseRow)
                .where(LeaseRow.name == self._name, LeaseRow.beat == beat, LeaseRow.holder == holder)
                .values(**values)
            )
            if taken.rowcount == 1:  # type: ignore[attr-defined]
                self._seen = (beat + 1, str(self._me))
                return True
        return False


def look(session: Session, name: str) -> Held | None:
    """Who has the lease, as its row says."""
    row = session.get(LeaseRow, name)
    if row is None or row.holder == NOBODY:
        return None
    holder = read(row.holder)
    return Held(holder.in_words if holder else row.holder, row.since, row.until)
