"""One change of a service at a time, whichever process makes it; and what is left where that process died meanwhile."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aimass.control.leases.holder import Holder, is_surely_dead, me, read
from aimass.core.clock import Clock
from aimass.core.errors import Conflict, Unavailable
from aimass.database.engine import Database
from aimass.database.lease_tables import LeaseRow

PREFIX = "service "  # of the names of turns among the leases
STORED, READIED = "stored", "readied"  # words of notes: a revision that is to take all traffic; some held ready
PATIENCE_S, AGAIN_S = 2.0, 0.02
LOST_S = 600.0  # no change of a service takes so long: a turn of another machine that is older is nobody's


@dataclass(frozen=True)
class Turn:
    """The right to change one service."""

    service: str
    holder: str
    since: float

    @property
    def holder_in_words(self) -> str:
        found = read(self.holder)
        return found.in_words if found else self.holder


def holders(session: Session) -> list[tuple[str, str, float]]:
    """Who changes which service just now: (service, who, since when)."""
    rows = session.scalars(select(LeaseRow).where(LeaseRow.name.startswith(PREFIX)).order_by(LeaseRow.name))
    turns = [Turn(row.name.removeprefix(PREFIX), row.holder, row.since) for row in rows]
    return [(turn.service, turn.holder_in_words, turn.since) for turn in turns]


class Turns:
    """Safe to share between threads; a turn is a row, so that it binds other processes too."""

    def __init__(self, database: Database, clock: Clock, holder: Holder | None = None) -> None:
        self._database = database
        self._clock = clock
        self._me = holder or me()
        self._count = 0
        self._one_machine = database.engine.dialect.name == "sqlite"
        self._seen: dict[tuple[str, str], float] = {}
        self._unended: list[Turn] = []  # the database was away when they ended

    @contextmanager
    def of(self, service: str) -> Iterator[Turn]:
        """The service's turn; ``Conflict`` while somebody else has it."""
        turn = self._take(service)
        try:
            yield turn
        finally:
            self._end(turn)

    def note(self, session: Session, service: str, what: Mapping[str, Any]) -> None:
        """Who has the service's turn says what is half done from this commit on; see ``reconciling.repair`` for the
        words. Empty: nothing."""
        session.execute(update(LeaseRow).where(LeaseRow.name == PREFIX + service).values(note=dict(what)))

    def lost(self) -> list[tuple[Turn, dict[str, Any]]]:
        """Turns whose process has died, each with what it left half done; for whoever puts that right."""
        now = self._clock.monotonic()
        with self._database.reading() as session:
            rows = list(session.scalars(select(LeaseRow).where(LeaseRow.name.startswith(PREFIX))))
        self._seen = {key: self._seen.get(key, now) for key in ((row.name, row.holder) for row in rows)}
        return [
            (Turn(row.name.removeprefix(PREFIX), row.holder, row.since), dict(row.note))
            for row in rows
            if is_surely_dead(row.holder, self._me, self._one_machine)
            or now - self._seen[row.name, row.holder] >= LOST_S
        ]

    def give_back(self, session: Session, turn: Turn) -> bool:
        """The turn ends with this transaction; False where it had ended already."""
        mine = delete(LeaseRow).where(LeaseRow.name == PREFIX + turn.service, LeaseRow.holder == turn.holder)
        return bool(session.execute(mine).rowcount)  # type: ignore[attr-defined]

    def _take(self, service: str) -> Turn:
        """Most turns take milliseconds: they are waited for; a deploy is not."""
        until = time.monotonic() + PATIENCE_S
        while True:
            turn = Turn(service, str(self._new()), self._clock.now())
            if self._write(turn):
                return turn
            if time.monotonic() >= until:
                raise Conflict(f"{service} is being changed just now{self._by(service)}; try again when that is done")
            time.sleep(AGAIN_S)

    def _write(self, turn: Turn) -> bool:
        """Whether nobody else has the service's turn."""
        row = LeaseRow(
            name=PREFIX + turn.service,
            holder=turn.holder,
            beat=1,
            since=turn.since,
            until=turn.since + LOST_S,
            note={},
        )
        given_back = list(self._unended)  # other threads may add to them meanwhile
        try:
            with self._database.session() as session:
                for ended in given_back:
                    self.give_back(session, ended)
                is_free = session.get(LeaseRow, row.name) is None
                if is_free:
                    session.add(row)
        except IntegrityError:
            return False
        for ended in given_back:
            with suppress(ValueError):  # another thread has given it back too
                self._unended.remove(ended)
        return is_free

    def _by(self, service: str) -> str:
        """Who has the service's turn, for people; empty if it has just ended."""
        with self._database.reading() as session:
            row = session.get(LeaseRow, PREFIX + service)
        return f" by {Turn(service, row.holder, row.since).holder_in_words}" if row else ""

    def _end(self, turn: Turn) -> None:
        try:
            with self._database.session() as session:
                self.give_back(session, turn)
        except Unavailable:
            self._unended.append(turn)

    def _new(self) -> Holder:
        """Every turn has a holder of its own, so that no two look the same to who watches."""
        self._count += 1
        return replace(self._me, part=f"{self._me.part}-{self._count}")
