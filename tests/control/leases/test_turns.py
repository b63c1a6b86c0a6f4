"""A service's turn: who has it is said, and one whose end the database missed is given back, whatever comes between."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from aimass.control.leases.holder import me
from aimass.control.leases.turns import Turns, holders
from aimass.core.clock import ManualClock
from aimass.core.errors import Conflict, Unavailable
from aimass.database.engine import Database


class Failing(Database):
    """A database that is away, or fails at the commit, in the writing transactions that are named, counted from 1."""

    def __init__(self, database: Database, away: set[int], fails: frozenset[int] = frozenset()) -> None:
        super().__init__(database.engine)
        self._count, self._away, self._fails = 0, away, fails
        self.meanwhile: list[Callable[[], object]] = []  # each once, just before something is written

    @contextmanager
    def session(self) -> Iterator[Session]:
        self._count += 1
        number = self._count
        if number in self._away:
            raise Unavailable("away")
        with super().session() as session:
            event.listen(session, "before_flush", lambda *_: self.meanwhile and self.meanwhile.pop()())
            yield session
            if number in self._fails:
                raise Unavailable("full")


def held(database: Database) -> list[str]:
    with database.reading() as session:
        return [service for service, _, _ in holders(session)]


def test_a_turn_that_could_not_end_is_given_back_by_the_next(database: Database) -> None:
    turns = Turns(Failing(database, {2}), ManualClock())
    with turns.of("a"):
        pass
    assert held(database) == ["a"]
    with turns.of("a"):
        assert held(database) == ["a"]
    assert held(database) == []


def test_a_commit_that_fails_forgets_no_turn(database: Database) -> None:
    turns = Turns(Failing(database, {2}, frozenset({3})), ManualClock())
    with turns.of("a"):
        pass
    with suppress(Unavailable), turns.of("b"):
        pytest.fail("its commit failed")
    assert held(database) == ["a"]
    with turns.of("b"):
        assert held(database) == ["b"]


def test_a_turn_that_ends_while_another_begins_is_not_forgotten(database: Database) -> None:
    failing = Failing(database, {3, 5})
    turns = Turns(failing, ManualClock())
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(turns.of("a"))
        second.enter_context(turns.of("b"))
        first.close()
        failing.meanwhile.append(second.close)  # as another thread does it
        with turns.of("c"):
            assert held(database) == ["b", "c"]
    with turns.of("b"):
        pass
    assert held(database) == []


def test_who_has_the_turn_is_said(database: Database) -> None:
    other = Turns(database, ManualClock(), replace(me(), host="elsewhere", pid=7))
    mine = Turns(database, ManualClock())
    said = "a is being changed just now by pid 7 on elsewhere; try again when that is done"
    with other.of("a"), pytest.raises(Conflict, match=f"^{said}$"), mine.of("a"):
        pytest.fail("two have it")
