"""The tables of feedback: what came in, what it adds up to, what could not be used, how far journals were read."""

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from aimass.database.tables import Base


class FeedbackRow(Base):
    """One label or reward for one row of an answered request. Of several under different keys the newest holds."""

    __tablename__ = "feedback"
    request_id: Mapped[str] = mapped_column(primary_key=True)
    row: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)  # label | reward
    key: Mapped[str] = mapped_column(primary_key=True)  # the caller's idempotency key; empty: none
    account: Mapped[str]
    service: Mapped[str]
    revision: Mapped[int]
    probability: Mapped[float]  # with which the revision had been chosen
    predicted: Mapped[str | None]  # as JSON; none: the service's answer has no label
    label: Mapped[str | None]  # as JSON
    reward: Mapped[float | None]
    is_newest: Mapped[bool]
    answered_at: Mapped[float]
    received_at: Mapped[float]
    __table_args__ = (
        Index("ix_feedback_service_answered_at", "service", "answered_at"),
        {"sqlite_with_rowid": False},
    )


class FeedbackSumRow(Base):
    """What the newest feedback on a revision's answers of one hour adds up to; kept for ever."""

    __tablename__ = "feedback_sums"
    service: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    hour: Mapped[int] = mapped_column(primary_key=True)  # of the answers: its first second since the epoch
    labelled: Mapped[int] = mapped_column(BigInteger)  # rows whose label could be compared
    right: Mapped[int] = mapped_column(BigInteger)
    rewards: Mapped[int] = mapped_column(BigInteger)
    reward_total: Mapped[float]
    reward_square: Mapped[float]  # the sum of their squares
    __table_args__ = ({"sqlite_with_rowid": False},)


class RefusedFeedbackRow(Base):
    """Feedback that was acknowledged, and then contradicted what had been said before it."""

    __tablename__ = "feedback_refused"
    request_id: Mapped[str] = mapped_column(primary_key=True)
    row: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    service: Mapped[str]
    why: Mapped[str]
    received_at: Mapped[float]
    __table_args__ = ({"sqlite_with_rowid": False},)


class FeedbackJournalRow(Base):
    """How far a replica's journal of feedback has been taken over."""

    __tablename__ = "feedback_journals"
    id: Mapped[str] = mapped_column(primary_key=True)
    offset: Mapped[int]
    updated_at: Mapped[float]
