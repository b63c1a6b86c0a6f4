"""How good a service's revisions were, as far as callers have told."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import func, select

from aimass.control.context import Context
from aimass.control.feedback.owned import find_own
from aimass.control.feedback.taking import waiting_bytes
from aimass.database.feedback_tables import RefusedFeedbackRow
from aimass.monitoring.feedback.quality import Quality, quality, quality_by_hour


def show(context: Context, service: str, since: float = 0.0) -> dict[str, Any]:
    """By revision, and by revision and hour, of what was answered in hours that end after ``since`` (epoch seconds).

    ``contradictions``: items that said something else under a key that had been used; ``waiting_bytes``: of all
    services' feedback that is acknowledged and not counted yet.
    """
    with context.database.reading() as session:
        weights = find_own(session, context, service).weights
        revisions = quality(session, service, since)
        hours = quality_by_hour(session, service, since)
        contradictions = session.scalar(
            select(func.count())
            .select_from(RefusedFeedbackRow)
            .where(RefusedFeedbackRow.service == service, RefusedFeedbackRow.received_at >= since)
        )
    return {
        "service": service,
        "revisions": [{**_plain(item), "weight": weights.get(number, 0.0)} for number, item in revisions.items()],
        "hours": [_plain(item) for item in hours],
        "contradictions": contradictions,
        "waiting_bytes": waiting_bytes(context.database, context.settings.home),
    }


def _plain(item: Quality) -> dict[str, Any]:
    low, high = item.interval or (None, None)
    found = {**asdict(item), "accuracy": item.accuracy, "low": low, "high": high}
    found |= {"reward_mean": item.reward_mean, "reward_error": item.reward_error}
    return {name: value for name, value in found.items() if name != "service"}
