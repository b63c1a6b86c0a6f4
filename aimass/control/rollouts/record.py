"""Rollouts as rows: how one stands is its newest move."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Text, cast, func, select
from sqlalchemy.orm import Session

from aimass.control.rollouts.plan import Plan
from aimass.core.errors import AimassError, Conflict, Invalid
from aimass.database.rollout_tables import RolloutMemoryRow, RolloutMoveRow, RolloutRow


class State(StrEnum):
    """Of a rollout."""

    RUNNING = "running"
    HOLDING = "holding"  # it stays at its step until it is clearer whether the candidate is well
    PAUSED = "paused"  # by a person; guards go on watching
    PROMOTED = "promoted"  # the candidate has all traffic
    ABORTED = "aborted"  # by a person
    RETURNED = "returned"  # by a guard: the baseline has all traffic


ACTIVE = frozenset({State.RUNNING, State.HOLDING, State.PAUSED})
_ENDED = {State.PROMOTED: 100.0, State.ABORTED: 0.0, State.RETURNED: 0.0}  # the candidate's per cent


@dataclass(frozen=True)
class Rollout:
    """One rollout at one moment."""

    id: int
    service: str
    revision: int
    baseline: int
    stored: Plan | Invalid  # the plan, or why it cannot be read
    state: State
    step: int  # counted from 0
    at_step: float  # per cent of the calls that the step gives the candidate
    began_at: float
    step_at: float  # when the step began
    move: int  # the newest move's id
    why: str

    @property
    def plan(self) -> Plan:
        """``Invalid`` where what is stored cannot be read: nobody can watch the rollout then, but end it."""
        if isinstance(self.stored, Invalid):
            raise self.stored
        return self.stored

    @property
    def torn(self) -> str:
        """Why its plan cannot be read; empty where it can."""
        return str(self.stored) if isinstance(self.stored, Invalid) else ""

    @property
    def share(self) -> float:
        """Per cent of the calls that its state gives the candidate."""
        return _ENDED.get(self.state, self.at_step)

    def turn(self, state: State, step: int) -> "Rollout":
        """The same in that state, at that step."""
        at_step = self.at_step if step == self.step else self.plan.steps[step]
        return replace(self, state=state, step=step, at_step=at_step)

    @property
    def weights(self) -> dict[int, float]:
        """Of the two revisions, now."""
        return weights(self, self.share)


def weights(rollout: Rollout, share: float) -> dict[int, float]:
    """With that per cent for the candidate; who gets nothing is left out."""
    split = {rollout.baseline: 100.0 - share, rollout.revision: share}
    return {number: weight for number, weight in split.items() if weight > 0}


def newest(session: Session, service: str) -> Rollout | None:
    """The service's last rollout, ended or not."""
    row = session.scalar(
        select(RolloutRow).where(RolloutRow.service == service).order_by(RolloutRow.id.desc()).limit(1)
    )
    return read(session, row) if row else None


def active(session: Session) -> list[RolloutRow]:
    """Those that go on, of all services, each to be read by itself."""
    lasts = select(func.max(RolloutMoveRow.id)).group_by(RolloutMoveRow.rollout)
    going = select(RolloutMoveRow.rollout).where(RolloutMoveRow.id.in_(lasts), RolloutMoveRow.state.not_in(_ENDED))
    return list(session.scalars(select(RolloutRow).where(RolloutRow.id.in_(going))))


def read(session: Session, row: RolloutRow) -> Rollout:
    """How that rollout stands. One whose state is unknown here, as after a return to an older version, holds."""
    moves = moves_of(session, row.id)
    last = moves[-1]
    state, stored = _state(last.state), _plan(row)
    if state is None:
        unknown = ValueError(f"{last.state!r} is unknown here")
        stored = unreadable(row.service, row.revision, "the state", unknown)
    return Rollout(
        id=row.id,
        service=row.service,
        revision=row.revision,
        baseline=row.baseline,
        stored=stored,
        state=state or State.HOLDING,
        step=last.step,
        at_step=next(move.share for move in moves if move.step == last.step),
        began_at=row.created_at,
        step_at=next(move.at for move in moves if move.step == last.step),
        move=last.id,
        why=last.why,
    )


def _state(name: str) -> State | None:
    return State(name) if name in set(State) else None


def _plan(row: RolloutRow) -> Plan | Invalid:
    try:
        return Plan.from_json(row.plan)
    except (AimassError, AttributeError, KeyError, TypeError, ValueError) as error:
        return unreadable(row.service, row.revision, "the plan", error)


def unreadable(service: str, revision: int, what: str, error: Exception) -> Invalid:
    """That what is stored of the rollout cannot be read."""
    return Invalid(
        f"{what} of the rollout of {service}/{revision} cannot be read from the database ({type(error).__name__}: "
        f"{error}); give its traffic back with aimass abort {service}, and begin again: aimass rollout {service} "
        f"{revision}"
    )


def last_said(session: Session, rollout: int) -> list[Any]:
    """What the guards said at the last look; nothing where that cannot be read."""
    evidence = cast(RolloutMemoryRow.evidence, Text)
    return evidence_of(session.scalar(select(evidence).where(RolloutMemoryRow.rollout == rollout)))


def evidence_of(stored: str | None) -> list[Any]:
    """What guards said, from the text in the database; nothing where that cannot be read."""
    try:
        said = json.loads(stored or "[]")
    except ValueError:
        return []
    return said if isinstance(said, list) else []


def moves_of(session: Session, rollout: int) -> list[RolloutMoveRow]:
    """Oldest first."""
    query = select(RolloutMoveRow).where(RolloutMoveRow.rollout == rollout).order_by(RolloutMoveRow.id)
    return list(session.scalars(query))


def add_move(
    session: Session,
    rollout: int,
    stand: tuple[State, int, float],
    said: tuple[str, str, float],
    evidence: Iterable[Any],
) -> None:
    """``stand``: state, step, the candidate's share; ``said``: who, why, at."""
    (state, step, share), (who, why, at) = stand, said
    row = RolloutMoveRow(rollout=rollout, state=state, step=step, share=share, who=who, why=why, at=at)
    row.evidence = list(evidence)
    session.add(row)


def refuse_while_active(session: Session, service: str) -> None:
    """``Conflict`` while a rollout of the service goes on: who moves its traffic must end that first."""
    going = newest(session, service)
    if going is not None and going.state in ACTIVE:
        raise Conflict(
            f"{service} revision {going.revision} is being rolled out ({going.state} at {going.share:g} %); "
            f"end that first: aimass promote {service}, or aimass abort {service}"
        )
