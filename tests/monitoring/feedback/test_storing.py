"""What is stored and summed, against a slow second implementation that looks at the whole history."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from aimass.database.engine import Database, open_database
from aimass.database.feedback_tables import FeedbackRow, FeedbackSumRow, RefusedFeedbackRow
from aimass.database.migrate import migrate
from aimass.monitoring.feedback.feedback import Feedback
from aimass.monitoring.feedback.quality import Quality, quality_by_hour
from aimass.monitoring.feedback.storing import store


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    found = open_database(f"sqlite:///{tmp_path_factory.mktemp('feedback')}/aimass.db")
    migrate(found)
    return found


def _item(request: int, row: int, key: str, at: float, label: int | None, reward: float | None = None) -> Feedback:
    """Request 0 was answered in the first hour by revision 7, the others later by 8; label 1 was predicted."""
    return Feedback(
        request_id=f"r{request}",
        row=row,
        kind="label" if reward is None else "reward",
        key=key,
        account="default",
        service="digits",
        revision=7 if request == 0 else 8,
        probability=1.0,
        predicted="1",
        label=None if label is None else str(label),
        reward=reward,
        answered_at=10.0 if request == 0 else 4000.0,
        received_at=at,
    )


ITEMS = st.builds(
    lambda request, row, key, at, label, reward: _item(
        request, row, key, at, None if reward is not None else label, reward
    ),
    st.integers(0, 2),
    st.integers(0, 1),
    st.sampled_from(["", "a", "b"]),
    st.integers(0, 5).map(float),
    st.integers(0, 1),
    st.one_of(st.none(), st.sampled_from([0.0, 0.5, -2.0])),
)


def _expected(items: Sequence[Feedback]) -> dict[tuple[int, int], tuple[float, ...]]:
    """By (revision, hour): the first of each key counts, of the keys the last received, of equals the last stored."""
    held: dict[Any, dict[str, Feedback]] = {}
    for item in items:
        held.setdefault((item.request_id, item.row, item.kind), {}).setdefault(item.key, item)
    sums: dict[tuple[int, int], list[float]] = {}
    for keys in held.values():
        newest = sorted(enumerate(keys.values()), key=lambda pair: (pair[1].received_at, pair[0]))[-1][1]
        total = sums.setdefault((newest.revision, int(newest.answered_at // 3600) * 3600), [0, 0, 0, 0.0, 0.0])
        if newest.reward is None:
            total[0] += 1
            total[1] += newest.label == newest.predicted
        else:
            total[2] += 1
            total[3] += newest.reward
            total[4] += newest.reward**2
    return {key: tuple(values) for key, values in sums.items()}


@settings(max_examples=60, deadline=None)
@given(st.lists(ITEMS, max_size=12), st.integers(1, 12), st.integers(0, 12))
def test_sums_are_those_of_the_history_in_whatever_pieces_it_comes(
    database: Database, items: list[Feedback], piece: int, again: int
) -> None:
    with database.session() as session:
        for table in (FeedbackRow, FeedbackSumRow, RefusedFeedbackRow):
            session.execute(delete(table))
    for at in range(0, len(items), piece):
        with database.session() as session:
            store(session, items[at : at + piece])
    with database.session() as session:
        assert store(session, items[:again]) == 0  # a drain that is repeated changes nothing
    with database.reading() as session:
        found = {(item.revision, item.hour): _values(item) for item in quality_by_hour(session, "digits")}
        rows = session.scalars(select(FeedbackRow)).all()
    assert {key: sums for key, sums in found.items() if any(sums)} == _expected(items)
    places = {(row.request_id, row.row, row.kind) for row in rows}
    assert len([row for row in rows if row.is_newest]) == len(places)


def test_what_contradicts_under_the_same_key_is_on_record(database: Database) -> None:
    with database.session() as session:
        assert store(session, [_item(9, 0, "", 1.0, 1), _item(9, 0, "", 2.0, 0), _item(9, 0, "fix", 3.0, 0)]) == 2
    with database.reading() as session:
        refused = session.get_one(RefusedFeedbackRow, ("r9", 0, "label", ""))
        assert (refused.received_at, refused.service) == (2.0, "digits")
        kept = session.scalars(select(FeedbackRow).where(FeedbackRow.request_id == "r9").order_by(FeedbackRow.key))
        assert [(row.key, row.label, row.is_newest) for row in kept] == [("", "1", False), ("fix", "0", True)]


def test_a_label_that_nothing_was_predicted_for_is_kept_and_judges_nobody(database: Database) -> None:
    blind = Feedback("blind", 0, "label", "", "default", "texts", 1, 1.0, None, '"spam"', None, 10.0, 11.0)
    with database.session() as session:
        assert store(session, [blind]) == 1
    with database.reading() as session:
        assert [item for item in quality_by_hour(session, "texts") if item.labelled] == []


def _values(item: Quality) -> tuple[float, ...]:
    return item.labelled, item.right, item.rewards, item.reward_total, item.reward_square
