"""The thread that drains journals: it outlives whatever one pass throws at it, and each journal the others' errors."""

import logging
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select

from aimass.control.feedback.taking import Taking
from aimass.control.reconciling import draining
from aimass.control.reconciling.draining import Draining, start_draining
from aimass.core.clock import ManualClock
from aimass.core.home import Home
from aimass.core.settings import Settings
from aimass.database.engine import open_database
from aimass.database.feedback_tables import FeedbackRow
from aimass.database.migrate import migrate
from aimass.database.tables import UsageEventRow
from aimass.metering.journal import EventEncoder, Journal
from aimass.monitoring.feedback.feedback import Feedback


class Stumbling(Draining):
    """Its first pass meets an error that nobody foresaw; the second says that it came, and lasts."""

    def __init__(self) -> None:
        self.passes = 0
        self.came_again = threading.Event()

    def step(self) -> bool:
        self.passes += 1
        if self.passes == 1:
            raise KeyError("an event nobody foresaw")
        self.came_again.set()
        return threading.Event().wait()


def test_an_unforeseen_error_is_logged_and_the_next_pass_follows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(draining, "REST_S", 0.0)
    stumbling = Stumbling()
    with caplog.at_level(logging.ERROR):
        start_draining(stumbling, lambda: True)
        assert stumbling.came_again.wait(10)
    assert any("an event nobody foresaw" in (record.exc_text or "") for record in caplog.records)


def test_feedback_that_cannot_be_taken_over_stops_no_metering_nor_the_other_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database, home, clock = open_database(f"sqlite:///{tmp_path}/aimass.db"), Home(tmp_path), ManualClock(1e9)
    migrate(database)
    usage, feedback = Journal(home.journal, "replica"), Journal(home.feedback, "replica")
    encoder = EventEncoder("default", "key", "digits", 1, "merged")
    found = Draining(database, Settings(home=home), clock)
    item = Feedback("r1", 0, "label", "", "default", "digits", 1, 1.0, "1", "1", None, 1e9, 1e9)

    def stumble(*_: object) -> bool:
        raise KeyError("what nobody foresaw")

    def counted() -> tuple[int, int]:
        with database.reading() as session:
            tables = (UsageEventRow, FeedbackRow)
            usage_rows, feedback_rows = (session.scalar(select(func.count()).select_from(table)) for table in tables)
            return usage_rows or 0, feedback_rows or 0

    usage.append(encoder.encode((1, 1e9, 1, 1, 1, 1), "r1", "", "{}"))
    feedback.append(item.encode())
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(Taking, "step", stumble)
        for _ in range(3):
            assert not found.step()
        assert counted() == (1, 0)
        assert len(caplog.records) == 1  # it rests before it is tried again
    usage.append(encoder.encode((2, 1e9, 1, 1, 1, 1), "r2", "", "{}"))
    with monkeypatch.context() as patch:
        patch.setattr(draining, "drain_once", stumble)
        clock.advance(draining.REST_S)
        found.step()
        assert counted() == (1, 1)
    clock.advance(draining.REST_S)
    found.step()
    assert counted() == (2, 1)
    for journal in (usage, feedback):
        journal.close()
