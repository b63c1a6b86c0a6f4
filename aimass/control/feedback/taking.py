"""Replicas' journals of feedback into the database, and out of it what has grown old."""

import logging
import math
from pathlib import Path

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from aimass.core.clock import Clock
from aimass.core.home import Home, owner_is_gone
from aimass.core.settings import Settings
from aimass.database.engine import Database
from aimass.database.feedback_tables import FeedbackJournalRow, FeedbackRow, FeedbackSumRow, RefusedFeedbackRow
from aimass.metering.drain import read_lines
from aimass.metering.journal import SUFFIX
from aimass.monitoring.clearing import clear_old
from aimass.monitoring.feedback.book import SUFFIX as RECEIPTS
from aimass.monitoring.feedback.feedback import decode
from aimass.monitoring.feedback.storing import store

ITEMS = 400  # a transaction holds writers up for some 10 ms; for as many seconds where this thread hardly runs
DAY_S = 86400
CLEAR_S = 60.0

_log = logging.getLogger(__name__)


class Taking:
    """One pass after another; a pass that is cut off is repeated without harm."""

    def __init__(self, database: Database, settings: Settings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._clear_at = clock.monotonic()

    def step(self) -> bool:
        """Take over up to ``ITEMS`` of each journal; whether one of them has more."""
        is_full = False
        for path in sorted(self._settings.home.feedback.glob(f"*{SUFFIX}")):
            dead = owner_is_gone(path)  # asked before reading: what a living owner adds meanwhile is read next time
            taken, end = self._take(path)
            is_full = is_full or taken >= ITEMS
            if dead and not read_lines(path, end, 1):
                self._forget(path)
        if self._clock.monotonic() >= self._clear_at:
            clear(self._database, self._settings, self._clock.now())
            self._clear_at = self._clock.monotonic() + CLEAR_S
        return is_full

    def _take(self, path: Path) -> tuple[int, int]:
        """How many lines there were, and where the next one begins."""
        with self._database.reading() as session:
            known = session.get(FeedbackJournalRow, path.stem)
        offset = known.offset if known else 0
        lines = read_lines(path, offset, ITEMS)
        if not lines:
            return 0, offset
        items = [item for item in map(decode, lines) if item is not None]
        if len(items) < len(lines):
            missing = len(lines) - len(items)
            _log.error(
                "%s, from byte %d on: %d of %d lines are no feedback, and lost", path, offset, missing, len(lines)
            )
        end = offset + sum(len(line) + 1 for line in lines)
        with self._database.session() as session:
            store(session, items)
            session.merge(FeedbackJournalRow(id=path.stem, offset=end, updated_at=self._clock.now()))
        return len(lines), end

    def _forget(self, path: Path) -> None:
        """The file goes first: what is read twice is stored once."""
        path.unlink(missing_ok=True)
        with self._database.session() as session:
            session.execute(delete(FeedbackJournalRow).where(FeedbackJournalRow.id == path.stem))


def waiting_bytes(database: Database, home: Home) -> int:
    """Of the journals, what is not in the database yet."""
    with database.reading() as session:
        taken = {row.id: row.offset for row in session.scalars(select(FeedbackJournalRow))}
    return sum(path.stat().st_size - taken.get(path.stem, 0) for path in home.feedback.glob(f"*{SUFFIX}"))


def clear(database: Database, settings: Settings, now: float) -> None:
    """Remove receipts, labels and rewards that are older than they are to be kept."""
    before = now - settings.receipts_days * DAY_S
    clear_old(settings.home.receipts, before, settings.receipts_bytes, f"*{RECEIPTS}")
    oldest = now - settings.feedback_days * DAY_S
    with database.reading() as session:
        services = session.scalars(select(FeedbackSumRow.service).distinct()).all()
        old = [service for service in services if _first_answer(session, service) < oldest]
        refused = session.scalar(select(func.min(RefusedFeedbackRow.received_at)))
    if old or (refused is not None and refused < oldest):
        with database.session() as session:
            for service in old:
                is_old = (FeedbackRow.service == service, FeedbackRow.answered_at < oldest)
                session.execute(delete(FeedbackRow).where(*is_old))
            session.execute(delete(RefusedFeedbackRow).where(RefusedFeedbackRow.received_at < oldest))


def _first_answer(session: Session, service: str) -> float:
    found = session.scalar(select(func.min(FeedbackRow.answered_at)).where(FeedbackRow.service == service))
    return math.inf if found is None else found
