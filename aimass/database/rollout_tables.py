"""Rollouts: what was planned, every step and what it was decided on, what guards saw, and their memory.

Documents are read one by one, by whoever needs them (``deferred``): a torn one keeps nobody from the other rows.
"""

from typing import Any

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from aimass.database.tables import BIG, Base


class RolloutRow(Base):
    """A plan to move a service's traffic from one revision to another, step by step."""

    __tablename__ = "rollouts"
    id: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=True)
    service: Mapped[str]
    revision: Mapped[int]  # the candidate
    baseline: Mapped[int]
    plan: Mapped[dict[str, Any]] = mapped_column(deferred=True)  # see ``control.rollouts.plan``
    who: Mapped[str]
    why: Mapped[str]
    created_at: Mapped[float]
    __table_args__ = (
        ForeignKeyConstraint(["service", "revision"], ["revisions.service", "revisions.number"]),
        Index("ix_rollouts_service", "service", "id"),
    )


class RolloutMoveRow(Base):
    """How a rollout stands from here on, and the judgements that it was decided on."""

    __tablename__ = "rollout_moves"
    id: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=True)
    rollout: Mapped[int] = mapped_column(BIG, ForeignKey("rollouts.id"))
    state: Mapped[str]  # running | holding | paused | promoted | aborted | returned
    step: Mapped[int]  # counted from 0
    share: Mapped[float]  # per cent of the candidate
    evidence: Mapped[list[Any]] = mapped_column(JSON, deferred=True)
    who: Mapped[str]
    why: Mapped[str]
    at: Mapped[float]
    __table_args__ = (Index("ix_rollout_moves_rollout", "rollout", "id"),)


class RolloutLookRow(Base):
    """What the guards said at one look, for the plots; of a long rollout not every look is kept."""

    __tablename__ = "rollout_looks"
    rollout: Mapped[int] = mapped_column(BIG, ForeignKey("rollouts.id"), primary_key=True)
    at: Mapped[float] = mapped_column(primary_key=True)
    share: Mapped[float]
    evidence: Mapped[list[Any]] = mapped_column(JSON)
    __table_args__ = ({"sqlite_with_rowid": False},)


class RolloutMemoryRow(Base):
    """What the next look goes on from, also when another process takes it."""

    __tablename__ = "rollout_memories"
    rollout: Mapped[int] = mapped_column(BIG, ForeignKey("rollouts.id"), primary_key=True)
    counted: Mapped[dict[str, Any]]  # so far, of both revisions
    guards: Mapped[dict[str, Any]]  # name → ``monitoring.guards.judging.Watched`` as JSON
    evidence: Mapped[list[Any]] = mapped_column(JSON)  # what the guards said at the last look
    at: Mapped[float]
