"""How a rollout stands and what it stands on, as values for every client."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.pushing import Acknowledged, Pushed
from aimass.control.revisions.standing import standings
from aimass.control.rollouts.record import ACTIVE, Rollout, evidence_of, last_said, moves_of, newest, read
from aimass.core.errors import NotFound
from aimass.database.rollout_tables import RolloutLookRow, RolloutMoveRow, RolloutRow

MAX_LOOKS = 600  # that a picture is drawn of


@dataclass(frozen=True, kw_only=True)
class Done(Acknowledged):
    """What a verb made of a rollout."""

    revision: int
    state: str
    weights: Mapping[str, float]


def done(rollout: Rollout, message: str, pushed: Pushed) -> Done:
    """From a rollout that was just changed."""
    return Done(
        service=rollout.service,
        revision=rollout.revision,
        state=rollout.state,
        weights={str(number): share for number, share in rollout.weights.items()},
        message=message,
        replicas=len(pushed.reports),
        silent=pushed.silent,
    )


def show(context: Context, service: str, looks: bool = False) -> dict[str, Any]:
    """The service's newest rollout: plan, steps with what each was decided on, the last judgements, and those before
    it; with ``looks`` everything that guards said, thinned out."""
    with context.database.reading() as session:
        standings(session, service)  # an unknown service is said to be one
        rollout = newest(session, service)
        if rollout is None:
            raise NotFound(f"{service} has had no rollout; start one: aimass rollout {service} REVISION")
        row = session.get_one(RolloutRow, rollout.id)
        plan = None if rollout.torn else row.plan
        said = _looks(session, rollout.id) if looks else []
        grounds = _grounds(session, rollout.id)
        earlier = session.scalars(
            select(RolloutRow).where(RolloutRow.service == service, RolloutRow.id < rollout.id).order_by(RolloutRow.id)
        )
        return {
            "service": service,
            "revision": rollout.revision,
            "baseline": rollout.baseline,
            "state": rollout.state,
            "why": rollout.why,
            "share": rollout.share,
            "step": rollout.step,
            "plan": plan,
            "torn": rollout.torn,
            "who": row.who,
            "started_at": row.created_at,
            "moves": [
                {
                    "state": move.state,
                    "step": move.step,
                    "share": move.share,
                    "who": move.who,
                    "why": move.why,
                    "at": move.at,
                    "evidence": evidence_of(grounds[move.id]),
                }
                for move in moves_of(session, rollout.id)
            ],
            "guards": last_said(session, rollout.id),
            "looks": [
                {"at": at, "share": share, "guards": evidence_of(evidence)} for at, share, evidence in _thinned(said)
            ],
            "earlier": [_brief(read(session, item)) for item in earlier],
        }


def brief(session: Session, service: str) -> dict[str, Any] | None:
    """The service's newest rollout in few words; none if it never had one."""
    rollout = newest(session, service)
    return _brief(rollout) if rollout else None


def _brief(rollout: Rollout) -> dict[str, Any]:
    return {
        "revision": rollout.revision,
        "baseline": rollout.baseline,
        "state": rollout.state,
        "why": rollout.why,
        "share": rollout.share,
        "is_active": rollout.state in ACTIVE,
        "torn": rollout.torn,  # why nobody can watch it
    }


def _looks(session: Session, rollout: int) -> list[tuple[float, float, str]]:
    """When, the candidate's share, and what guards said, as text: a torn one keeps nobody from the others."""
    row = RolloutLookRow
    query = select(row.at, row.share, cast(row.evidence, Text)).where(row.rollout == rollout).order_by(row.at)
    return [(at, share, evidence) for at, share, evidence in session.execute(query)]


def _grounds(session: Session, rollout: int) -> dict[int, str]:
    """What each move was decided on, by its id, as text."""
    row = RolloutMoveRow
    found = session.execute(select(row.id, cast(row.evidence, Text)).where(row.rollout == rollout))
    return {number: evidence for number, evidence in found}


def _thinned(looks: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Evenly, and the last one in any case."""
    step = -(-len(looks) // MAX_LOOKS) or 1
    return looks[::-step][::-1]
