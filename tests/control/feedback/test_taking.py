"""Journals of feedback taken over by a reconciler that is older than who wrote them, and cleared of what is old."""

import logging
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select

from aimass.control.feedback.taking import Taking, clear, waiting_bytes
from aimass.core.clock import SystemClock
from aimass.core.home import Home
from aimass.core.settings import Settings
from aimass.database.engine import Database, open_database
from aimass.database.feedback_tables import FeedbackRow, RefusedFeedbackRow
from aimass.database.migrate import migrate
from aimass.metering.journal import Journal
from aimass.monitoring.feedback.feedback import Feedback

DAY_S = 86400.0


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = open_database(f"sqlite:///{tmp_path}/aimass.db")
    migrate(found)
    return found


def _item(request_id: str, received_at: float = 2.0) -> Feedback:
    return Feedback(request_id, 0, "label", "", "default", "digits", 7, 1.0, "1", "1", None, received_at, received_at)


def test_a_field_that_a_newer_replica_added_costs_no_item_and_what_is_none_is_said(
    tmp_path: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    home, now = Home(tmp_path), SystemClock().now()
    journal = Journal(home.feedback, "replica")
    newer = orjson.dumps({**orjson.loads(_item("r2", now).encode()), "region": "north"}) + b"\n"
    journal.append(b"".join([_item("r1", now).encode(), newer, b"[1]\n", b"{}\n", _item("r3", now).encode()]))
    with caplog.at_level(logging.ERROR):
        Taking(database, Settings(home=home), SystemClock()).step()
    with database.reading() as session:
        assert set(session.scalars(select(FeedbackRow.request_id))) == {"r1", "r2", "r3"}
    assert waiting_bytes(database, home) == 0
    assert ["2 of 5 lines" in record.getMessage() for record in caplog.records] == [True]
    journal.close()


def test_what_was_refused_goes_by_its_own_age(tmp_path: Path, database: Database) -> None:
    now = 1000 * DAY_S
    with database.session() as session:
        for number, age in enumerate((400.0, 300.0)):
            place = {"request_id": f"r{number}", "row": 0, "kind": "label", "key": ""}
            session.add(RefusedFeedbackRow(**place, service="digits", why="another", received_at=now - age * DAY_S))
    clear(database, Settings(home=Home(tmp_path), feedback_days=365), now)
    with database.reading() as session:
        assert list(session.scalars(select(RefusedFeedbackRow.request_id))) == ["r1"]
