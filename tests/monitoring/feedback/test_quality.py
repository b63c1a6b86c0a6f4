"""Means and their errors, against numpy; sums over hours, by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.database.engine import Database, open_database
from aimass.database.feedback_tables import FeedbackSumRow
from aimass.database.migrate import migrate
from aimass.monitoring.feedback.quality import Quality, quality, quality_by_hour


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50))
def test_mean_reward_and_its_error_are_numpys(rewards: list[float]) -> None:
    found = Quality("a", 1, 0, 0, len(rewards), sum(rewards), sum(value * value for value in rewards))
    assert found.reward_mean == pytest.approx(np.mean(rewards), abs=1e-9)
    want = np.std(rewards, ddof=1) / np.sqrt(len(rewards))
    assert found.reward_error == pytest.approx(want, rel=1e-6, abs=1e-4)


def test_nothing_counted_has_no_share() -> None:
    found = Quality("a", 1)
    assert (found.accuracy, found.interval, found.reward_mean, found.reward_error) == (None, None, None, None)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = open_database(f"sqlite:///{tmp_path}/aimass.db")
    migrate(found)
    with found.session() as session:
        for service, revision, hour, sums in (
            ("digits", 7, 0, (10, 9, 0, 0.0, 0.0)),
            ("digits", 7, 3600, (30, 21, 2, 1.5, 1.25)),
            ("digits", 8, 3600, (5, 5, 0, 0.0, 0.0)),
            ("iris", 7, 3600, (100, 0, 0, 0.0, 0.0)),
        ):
            labelled, right, rewards, total, square = sums
            session.add(
                FeedbackSumRow(
                    service=service,
                    revision=revision,
                    hour=hour,
                    labelled=labelled,
                    right=right,
                    rewards=rewards,
                    reward_total=total,
                    reward_square=square,
                )
            )
    return found


def test_sums_by_revision_and_hour(database: Database) -> None:
    with database.reading() as session:
        assert quality(session, "digits") == {
            7: Quality("digits", 7, 40, 30, 2, 1.5, 1.25),
            8: Quality("digits", 8, 5, 5),
        }
        assert quality(session, "digits", since=3600.5)[7].labelled == 30
        assert [(item.hour, item.revision, item.right) for item in quality_by_hour(session, "digits")] == [
            (0, 7, 9),
            (3600, 7, 21),
            (3600, 8, 5),
        ]
        assert quality(session, "nothing") == {}
