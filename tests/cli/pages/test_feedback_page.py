"""The page of feedback: one hour makes no plot over time, some do, many are summed by the day."""

import re
from typing import Any

import pytest

from aimass.cli.feedback.page import by_period, page
from aimass.core.statistics.intervals import wilson
from aimass.monitoring.feedback.quality import Quality

BEGAN = 1_795_298_400 // 86_400 * 86_400  # a midnight


def _item(revision: int, right: int, labelled: int, hour: int | None) -> dict[str, Any]:
    low, high = wilson(right, labelled) if labelled else (None, None)
    told = {"revision": revision, "right": right, "labelled": labelled, "hour": hour, "weight": 50.0}
    told |= {"accuracy": right / labelled if labelled else None, "low": low, "high": high}
    return told | {"rewards": 0, "reward_total": 0.0, "reward_square": 0.0, "reward_mean": None, "reward_error": None}


def _page(hours: list[int]) -> str:
    items = [_item(revision, 9, 10, BEGAN + 3600 * hour) for revision in (1, 2) for hour in hours]
    totals = [_item(revision, 9 * len(hours), 10 * len(hours), None) for revision in (1, 2)]
    return page({"service": "a<b", "revisions": totals, "hours": items})


@pytest.mark.parametrize(
    ("hours", "says", "drawn"),
    [
        ([13], "the first answers are of the hour from 2026-11-21 13:00 UTC", 1),
        ([13, 14], "By the hour of the answer", 2),
        ([0, 5, 100], "By the day of the answer", 2),
    ],
)
def test_what_spans_time_is_drawn_over_it(hours: list[int], says: str, drawn: int) -> None:
    text = _page(hours)
    assert says in text and text.count("<figure") == drawn
    assert "a&lt;b" in text and "a<b" not in text
    assert len(set(re.findall(r"revision \d", text))) == 2


def test_days_are_sums_of_their_hours() -> None:
    hours = [Quality("s", 1, 10, 9, 2, 1.5, 1.25, BEGAN + 3600 * hour) for hour in (0, 23, 24)]
    first, second = by_period(hours, 86_400)
    assert first == Quality("s", 1, 20, 18, 4, 3.0, 2.5, BEGAN)
    assert second == Quality("s", 1, 10, 9, 2, 1.5, 1.25, BEGAN + 86_400)


def test_without_feedback_it_says_so() -> None:
    text = page({"service": "s", "revisions": [], "hours": []})
    assert "Nothing came back yet." in text and "<figure" not in text
