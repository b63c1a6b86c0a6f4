"""The one writer of traffic moves: every change of who takes a service's calls goes through here.

move ── takes the service's turn
  ├── ready ── at 0 %, until live replicas have loaded what is to take calls; a revision that fails takes none
  └── shift ── for who has the turn, and knows that all is loaded
        └── write ── one row, in the caller's transaction
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.leases.turns import READIED
from aimass.control.pushing import Pushed
from aimass.control.revisions.aside import asides, say
from aimass.control.revisions.loading import LOAD_S, killed, reason, unheard
from aimass.control.revisions.standing import Standing, standings
from aimass.control.rollouts.record import refuse_while_active
from aimass.core.errors import Conflict, Invalid, NotFound, Unavailable
from aimass.database import state_number
from aimass.database.tables import RevisionRow, TrafficMoveRow
from aimass.serving.traffic.base import Weights
from aimass.serving.traffic.cut import recut
from aimass.serving.traffic.making import WEIGHTED, make_traffic


@dataclass(frozen=True)
class Aim:
    """Where traffic is to go, and by which policy."""

    weights: Weights  # together 100; a revision at 0 is held ready
    policy: str = WEIGHTED
    options: Mapping[str, Any] = field(default_factory=dict)


def move(context: Context, service: str, aim: Aim, why: str) -> Pushed:
    """Move the service's traffic, and push it; who acknowledged. Revisions that are not loaded are readied first.

    ``Conflict`` while somebody else changes the service; ``Invalid`` or ``NotFound`` for what cannot be, and then
    nothing has moved.
    """
    with context.turns.of(service):
        with context.database.reading() as session:
            refuse_while_active(session, service)
        check(context, service, aim)
        ready(context, service, set(aim.weights), why)
        return shift(context, service, aim, why)


def check(context: Context, service: str, aim: Aim) -> None:
    """Raises unless the service is deployed, its revisions can take calls, and weights and options make sense."""
    with context.database.reading() as session:
        now = standings(session, service)[service]
        if not now.is_deployed and not now.readied:
            raise Conflict(f"{service} is not deployed; deploy it")
        _check_revisions(session, service, aim.weights)
        make_traffic(aim.policy, aim.weights, aim.options, now.weights)


def ready(context: Context, service: str, numbers: set[int], why: str, anew: bool = False) -> None:
    """Have these revisions loaded in the live replicas, beside those that take calls.

    ``anew``: as if they came for the first time (see ``line_of``). Raises, and nothing has changed, when one fails.
    """
    with context.database.reading() as session:  # the usual case waits for no other writer
        if numbers <= standings(session, service)[service].weights.keys():
            return
    with context.database.session() as session:
        now = standings(session, service)[service]
        coming = sorted(numbers - now.weights.keys())
        is_written = anew or not numbers <= set(now.kept)
        if is_written:
            _hold(session, context, service, now, sorted(now.readied | set(coming)), f"readies {_named(coming)}: {why}")
            context.turns.note(session, service, {READIED: coming})
        before = now.readied
        state = state_number.bump(session)  # so that replicas try again what they could not load before
    wrong: Exception | None = Unavailable("nobody waited for it any more")
    try:
        wrong = _unready(context, service, coming, state)
    finally:
        if wrong is not None and is_written:
            with context.database.session() as session:
                now = standings(session, service)[service]  # a rollout may have moved traffic meanwhile
                rest = sorted(now.readied - (set(coming) - before))
                _hold(session, context, service, now, rest, f"leaves {_named(coming)} again: {wrong}")
                context.turns.note(session, service, {})
                state_number.bump(session)
    if wrong is not None:
        raise wrong


def shift(context: Context, service: str, aim: Aim, why: str) -> Pushed:
    """Move traffic to revisions that are loaded; who acknowledged."""
    with context.database.session() as session:
        write(session, context, service, aim, why)
        context.turns.note(session, service, {})  # what was half done is done
        state = state_number.bump(session)
    return context.pusher.push(state)


def write(session: Session, context: Context, service: str, aim: Aim, why: str) -> None:
    """The move's row: the shares with which the policy begins, and the cut that moves the fewest callers."""
    now = standings(session, service)[service]
    traffic = make_traffic(aim.policy, aim.weights, aim.options, now.weights)
    course = None
    if traffic.MOVES:
        course = {"from": _as_text(traffic.before), "to": _as_text(aim.weights), "since": context.clock.now()}
    row = _row(context, service, aim, traffic.shares(), why)
    row.course = course
    row.pieces = [list(piece) for piece in recut(now.pieces, traffic.shares())]
    session.add(row)


def leave(session: Session, context: Context, service: str, numbers: set[int], why: str) -> bool:
    """Hold these revisions ready no longer; whether any was."""
    now = standings(session, service)[service]
    if not numbers & now.readied:
        return False
    _hold(session, context, service, now, sorted(now.readied - numbers), why)
    return True


def go_on(session: Session, context: Context, service: str, now: Standing, shares: Weights) -> int:
    """The policy of ``now`` has come to these shares. The number of the state to push; 0 where somebody moved traffic
    since. For who has the turn."""
    if standings(session, service)[service] != now:
        return 0
    aim = Aim(dict.fromkeys(now.readied, 0.0), now.policy, now.options)
    row = _row(context, service, aim, shares, f"{now.policy} went on by itself")
    row.course = None if now.course is None else dict(now.course)
    row.pieces = [list(piece) for piece in recut(now.pieces, shares)]
    session.add(row)
    return state_number.bump(session)


def end(session: Session, context: Context, service: str, why: str) -> None:
    """The service takes no calls any more."""
    session.add(_row(context, service, Aim({}), {}, why))


def _hold(session: Session, context: Context, service: str, now: Standing, coming: list[int], why: str) -> None:
    """What holds goes on, with these revisions beside it at 0 %."""
    aim = Aim(dict.fromkeys(coming, 0.0), now.policy, now.options)
    row = _row(context, service, aim, now.weights, why)
    row.course = None if now.course is None else dict(now.course)
    row.pieces = [list(piece) for piece in now.pieces]
    session.add(row)


def _row(context: Context, service: str, aim: Aim, shares: Weights, why: str) -> TrafficMoveRow:
    weights = {**{number: 0.0 for number, weight in aim.weights.items() if weight == 0}, **shares}
    return TrafficMoveRow(
        service=service,
        weights=_as_text(weights),
        policy=aim.policy,
        options=dict(aim.options),
        who=context.who,
        why=why,
        at=context.clock.now(),
    )


def _check_revisions(session: Session, service: str, numbers: Weights) -> None:
    rows = {row.number: row for row in session.scalars(select(RevisionRow).where(RevisionRow.service == service))}
    aside = asides(session)
    for number in numbers:
        if number not in rows:
            there = ", ".join(map(str, sorted(rows)))
            raise NotFound(f"service {service} has no revision {number}; there is: {there}", field=f"weights.{number}")
        error = rows[number].error
        if error:
            raise Invalid(f"{service} revision {number} never takes traffic: {error}", field=f"weights.{number}")
        if (service, number) in aside:
            said = say(aside[service, number])
            raise Invalid(f"{service} revision {number} {said}", field=f"weights.{number}")


def _unready(context: Context, service: str, numbers: list[int], state: int) -> Exception | None:
    """Why not every live replica that answers has loaded these revisions; none if each has."""
    context.pusher.push(state)
    pushed = context.pusher.await_loaded(state, LOAD_S)
    for number in numbers:
        why = reason(pushed, service, number) or (killed(context, service, number) if pushed.silent else "")
        if why:
            return Invalid(f"{service} revision {number} cannot be loaded: {why}; traffic stays where it is")
    return unheard(pushed, f"{service} {_named(numbers)}")


def _named(numbers: list[int]) -> str:
    return f"revision {', '.join(map(str, numbers))}"


def _as_text(weights: Weights) -> dict[str, float]:
    return {str(number): share for number, share in weights.items()}
