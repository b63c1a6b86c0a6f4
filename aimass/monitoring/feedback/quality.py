"""How good a service's revisions were by the labels and rewards that came back: sums, shares, Wilson intervals."""

import math
from dataclasses import dataclass

from sqlalchemy import BigInteger, cast, func, select
from sqlalchemy.orm import Session

from aimass.core.statistics.intervals import wilson
from aimass.database.feedback_tables import FeedbackSumRow


@dataclass(frozen=True)
class Quality:
    """Feedback on one revision, in all or of one hour. Shares and means are None where nothing was counted."""

    service: str
    revision: int
    labelled: int = 0  # rows
    right: int = 0
    rewards: int = 0
    reward_total: float = 0.0
    reward_square: float = 0.0
    hour: int | None = None  # seconds since the epoch; None: all hours

    @property
    def accuracy(self) -> float | None:
        return self.right / self.labelled if self.labelled else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the accuracy lies with a confidence of 95 %, for one look; see ``wilson``."""
        return wilson(self.right, self.labelled) if self.labelled else None

    @property
    def reward_mean(self) -> float | None:
        return self.reward_total / self.rewards if self.rewards else None

    @property
    def reward_error(self) -> float | None:
        """The standard error of the mean reward; None for fewer than two."""
        if self.rewards < 2:
            return None
        spread = self.reward_square - self.reward_total**2 / self.rewards
        return math.sqrt(max(0.0, spread) / (self.rewards - 1) / self.rewards)


def quality(session: Session, service: str, since: float = 0.0) -> dict[int, Quality]:
    """By revision, over the answers of all hours that end after ``since`` (epoch seconds)."""
    row = FeedbackSumRow
    counts = (cast(func.sum(column), BigInteger) for column in (row.labelled, row.right, row.rewards))
    totals = (func.sum(row.reward_total), func.sum(row.reward_square))
    query = select(row.revision, *counts, *totals).where(row.service == service, row.hour > since - 3600)
    found = session.execute(query.group_by(row.revision).order_by(row.revision))
    return {revision: Quality(service, revision, *sums) for revision, *sums in found}


def quality_by_hour(session: Session, service: str, since: float = 0.0) -> list[Quality]:
    """The same for each hour in which something was answered that feedback came for; oldest first."""
    row = FeedbackSumRow
    rows = session.scalars(
        select(row).where(row.service == service, row.hour > since - 3600).order_by(row.hour, row.revision)
    )
    return [
        Quality(
            service,
            item.revision,
            item.labelled,
            item.right,
            item.rewards,
            item.reward_total,
            item.reward_square,
            item.hour,
        )
        for item in rows
    ]
