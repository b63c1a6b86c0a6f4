"""Feedback into the database: each item once, however often and in whatever order it comes; sums kept with it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from aimass.database.feedback_tables import FeedbackRow, FeedbackSumRow, RefusedFeedbackRow
from aimass.database.tables import Base
from aimass.monitoring.feedback.feedback import Feedback

HOUR_S = 3600
NAMES = tuple(item.name for item in fields(Feedback))
LOOKED_UP = 400  # request ids in one query
SUMS = ("labelled", "right", "rewards", "reward_total", "reward_square")
SUM_KEY = ("service", "revision", "hour")
INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

TABLE = Base.metadata.tables[FeedbackRow.__tablename__]

Place = tuple[str, int, str]  # request id, row, kind


@dataclass
class _Change:
    """What one transaction does."""

    known: dict[Place, dict[str, Feedback]]  # by key
    newest: dict[Place, str]  # the key of what holds
    fresh: dict[tuple[str, int, str, str], Feedback] = field(default_factory=dict)
    replaced: set[Place] = field(default_factory=set)
    sums: dict[tuple[str, int, int], list[float]] = field(default_factory=dict)
    refused: list[Feedback] = field(default_factory=list)


def store(session: Session, items: Sequence[Feedback]) -> int:
    """How many of them were new. What is there under the same key already changes nothing if it says the same, and is
    refused, on record, if it does not. Under another key the one that was received last holds."""
    change = _Change(*_known(session, items))
    for item in items:
        _take(change, item)
    dialect = INSERTS[session.get_bind().dialect.name]
    if change.fresh:
        _unset(session, sorted(change.replaced))
        held = change.newest
        rows = [{**_columns(item), "is_newest": held[_place(item)] == item.key} for item in change.fresh.values()]
        session.execute(insert(TABLE), rows)  # the mapper has nothing to add, and takes its time
    if change.sums:
        table, new = FeedbackSumRow, (query := dialect(FeedbackSumRow)).excluded
        more = {name: getattr(table, name) + getattr(new, name) for name in SUMS}
        values = [dict(zip((*SUM_KEY, *SUMS), (*key, *sums), strict=True)) for key, sums in sorted(change.sums.items())]
        session.execute(query.on_conflict_do_update(index_elements=SUM_KEY, set_=more), values)
    if change.refused:
        values = [_refusal(item) for item in change.refused]
        session.execute(dialect(RefusedFeedbackRow).on_conflict_do_nothing(), values)
    return len(change.fresh)


def _take(change: _Change, item: Feedback) -> None:
    place = _place(item)
    keys = change.known.setdefault(place, {})
    if item.key in keys:
        if (keys[item.key].label, keys[item.key].reward) != (item.label, item.reward):
            change.refused.append(item)
        return
    before = keys[change.newest[place]] if keys else None
    keys[item.key] = change.fresh[(*place, item.key)] = item
    if before is not None and item.received_at < before.received_at:
        return  # a journal that was read later has brought it
    change.newest[place] = item.key
    _add(change, item, 1)
    if before is not None:
        change.replaced.add(place)
        _add(change, before, -1)


def _add(change: _Change, item: Feedback, sign: int) -> None:
    key = (item.service, item.revision, int(item.answered_at // HOUR_S) * HOUR_S)
    sums = change.sums.setdefault(key, [0, 0, 0, 0.0, 0.0])
    if item.reward is not None:
        more = (0, 0, 1, item.reward, item.reward * item.reward)
    elif item.predicted is not None:
        more = (1, int(item.predicted == item.label), 0, 0.0, 0.0)
    else:
        return  # nothing to compare the label with
    for index, value in enumerate(more):
        sums[index] += sign * value


def _known(session: Session, items: Iterable[Feedback]) -> tuple[dict[Place, dict[str, Feedback]], dict[Place, str]]:
    ids = sorted({item.request_id for item in items})
    known: dict[Place, dict[str, Feedback]] = {}
    newest: dict[Place, str] = {}
    columns = [getattr(FeedbackRow, name) for name in NAMES]
    for at in range(0, len(ids), LOOKED_UP):
        query = select(FeedbackRow.is_newest, *columns).where(FeedbackRow.request_id.in_(ids[at : at + LOOKED_UP]))
        for is_newest, *values in session.execute(query):
            item = Feedback(*values)
            known.setdefault(_place(item), {})[item.key] = item
            if is_newest:
                newest[_place(item)] = item.key
    return known, newest


def _unset(session: Session, places: Sequence[Place]) -> None:
    """What was the newest of these rows is so no more."""
    row = FeedbackRow
    for at in range(0, len(places), LOOKED_UP):
        part = places[at : at + LOOKED_UP]
        query = update(row).where(tuple_(row.request_id, row.row, row.kind).in_(part)).values(is_newest=False)
        session.execute(query.execution_options(synchronize_session=False))


def _columns(item: Feedback) -> dict[str, Any]:
    return {name: getattr(item, name) for name in NAMES}


def _place(item: Feedback) -> Place:
    return item.request_id, item.row, item.kind


def _refusal(item: Feedback) -> dict[str, Any]:
    why = f"another {item.kind} is on record under the same key; send a correction with an idempotency_key of its own"
    names = ("request_id", "row", "kind", "key", "service", "received_at")
    return {**{name: getattr(item, name) for name in names}, "why": why}
