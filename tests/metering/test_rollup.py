"""Old events become sums: nothing is lost or counted twice, whatever comes when."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update

from aimass.control.reconciling.draining import Draining
from aimass.core.clock import SystemClock
from aimass.core.home import Home
from aimass.core.settings import Settings
from aimass.database.engine import Database
from aimass.database.tables import JournalRow, UsageEventRow, UsageHourRow
from aimass.metering.drain import drain_once
from aimass.metering.journal import EventEncoder, Journal
from aimass.metering.rollup import HOUR_S, roll_up
from aimass.metering.usage import Usage, totals


def _append(journal: Journal, at: float, rows: int = 2, key: str = "key-1", revision: int = 1) -> None:
    journal.seq += 1
    encoder = EventEncoder("default", key, "iris", revision, "merged")
    journal.append(encoder.encode((journal.seq, at, rows, 10, 20, 30), "request", "", "{}"))


def _used(database: Database) -> list[Usage]:
    with database.reading() as session:
        return totals(session)


def _count(database: Database, table: Any) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_usage_is_the_same_before_and_after_and_rows_do_not_grow_with_calls(tmp_path: Path, database: Database) -> None:
    journal = Journal(tmp_path, "replica")
    for index in range(600):
        _append(journal, 1000.0 + index * 10, rows=index, key=f"key-{index % 2}", revision=1 + index % 3)
    assert drain_once(database, tmp_path) == 600
    before = _used(database)
    while roll_up(database, tmp_path, before=5000.0, limit=100):
        pass
    assert _used(database) == before
    assert _count(database, UsageEventRow) == 200
    assert _count(database, UsageHourRow) == 2 * 6  # hours 0 and 1, two keys, three revisions
    _append(journal, 1500.0)  # late, for an hour that has its sum
    drain_once(database, tmp_path)
    assert roll_up(database, tmp_path, before=1e9) == 201
    assert (_count(database, UsageEventRow), _count(database, UsageHourRow)) == (0, 2 * 6)
    after = _used(database)
    assert sum(item.calls for item in after) == 601
    assert sum(item.rows for item in after) == sum(range(600)) + 2
    assert (after[0].first_at, after[-1].last_at) == (1000.0, 1000.0 + 599 * 10)
    journal.close()


def test_a_drain_repeated_from_the_start_counts_nothing_twice_after_the_roll_up(
    tmp_path: Path, database: Database
) -> None:
    journal = Journal(tmp_path, "replica")
    for index in range(50):
        _append(journal, float(index))
    drain_once(database, tmp_path)
    assert roll_up(database, tmp_path, before=30.0) == 30
    with database.session() as session:
        session.execute(update(JournalRow).values(offset=0))  # as if the note of how far it went were lost
    drain_once(database, tmp_path)
    assert [item.calls for item in _used(database)] == [50]
    journal.close()


def test_what_is_known_of_a_journal_goes_with_its_last_event_and_file(tmp_path: Path, database: Database) -> None:
    journal = Journal(tmp_path, "replica")
    _append(journal, 1.0)
    drain_once(database, tmp_path)
    later = SystemClock().now() + 1
    assert [roll_up(database, tmp_path, later) for _ in range(2)] == [1, 0]
    assert _count(database, JournalRow) == 1  # the replica lives
    journal.close()
    drain_once(database, tmp_path)
    roll_up(database, tmp_path, SystemClock().now() + 1)
    assert _count(database, JournalRow) == 0
    assert [item.calls for item in _used(database)] == [1]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("call"), st.floats(0, 5 * HOUR_S)),
            st.tuples(st.just("drain"), st.integers(1, 5)),
            st.tuples(st.just("roll"), st.floats(0, 5 * HOUR_S)),
            st.tuples(st.just("forget"), st.none()),
            st.tuples(st.just("restart"), st.none()),
        ),
        max_size=30,
    )
)
def test_every_call_counts_once_in_any_order_of_events(
    tmp_path_factory: pytest.TempPathFactory, database: Database, steps: list[tuple[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    with database.session() as session:
        for table in (UsageEventRow, UsageHourRow, JournalRow):
            session.execute(delete(table))
    journal, calls = Journal(folder, "replica-0"), 0
    for number, (step, value) in enumerate(steps):
        if step == "call":
            _append(journal, value)
            calls += 1
        elif step == "drain":
            drain_once(database, folder, value)
        elif step == "roll":
            roll_up(database, folder, value, 3)
        elif step == "forget":
            with database.session() as session:
                session.execute(update(JournalRow).values(offset=0))
        else:
            journal.close()
            journal = Journal(folder, f"replica-{number + 1}")
    journal.close()
    drain_once(database, folder)
    roll_up(database, folder, 3.0 * HOUR_S)
    assert sum(item.calls for item in _used(database)) == calls


def test_the_platform_rolls_up_and_clears_by_its_settings(tmp_path: Path, database: Database) -> None:
    home = Home(tmp_path)
    journal = Journal(home.journal, "replica")
    now = SystemClock().now()
    for hours in (30, 26, 1):
        _append(journal, now - hours * HOUR_S)
    home.logs.mkdir()
    (home.logs / "requests-dead.jsonl").write_text("{}\n")
    Draining(database, Settings(home=home, usage_events_hours=24, request_log_days=1e-9), SystemClock()).step()
    assert (_count(database, UsageEventRow), sum(item.calls for item in _used(database))) == (1, 3)
    assert list(home.logs.iterdir()) == []
    journal.close()
