"""A service's traffic as verbs: split it between revisions, and look at how it is split and came to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from aimass.control.context import Context
from aimass.control.pushing import Acknowledged
from aimass.control.revisions.standing import Standing, standings
from aimass.control.traffic.following import wanted
from aimass.control.traffic.moving import Aim, move
from aimass.core.errors import AimassError, Invalid
from aimass.database.tables import TrafficMoveRow
from aimass.serving.traffic.base import BY, check_weights
from aimass.serving.traffic.making import sticks

SHOWN = 20  # moves
LEAST = 0.001  # per cent; ten of the buckets that calls fall into


@dataclass(frozen=True, kw_only=True)
class Split(Acknowledged):
    """Who takes the service's calls."""

    weights: Mapping[str, float]
    policy: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Wish:
    """Traffic as somebody asks for it; ``weights``: revision → per cent."""

    weights: Mapping[str, Any]
    policy: str = "weighted"
    options: Mapping[str, Any] | None = None
    sticky: str = ""  # what callers stick by
    why: str = ""


def split(context: Context, service: str, wish: Wish) -> Split:
    """Spread the service's calls over these revisions; back when each live replica that answers does so.

    Nothing moves unless all of them are loaded.
    """
    weights = read_weights(wish.weights)
    check_weights(weights)  # before anything is looked up: what is wrong with the command itself is said first
    policy, by = sticks(wish.policy, wish.sticky)
    with context.database.reading() as session:
        before = standings(session, service)[service].readied
    pushed = move(context, service, Aim(weights, policy, {**(wish.options or {}), **by}), wish.why or "split by hand")
    with context.database.reading() as session:
        now = standings(session, service)[service]
    shares = {str(number): share for number, share in sorted(now.weights.items())}
    said = ", ".join(f"revision {number}: {share:g} %" for number, share in shares.items())
    how = f" by {now.options[BY]}" if now.options.get(BY) else ""
    return Split(
        service=service,
        weights=shares,
        policy=now.policy,
        options=now.options,
        message=f"traffic of {service} ({now.policy}{how}): {said}{_aside(before, now)}",
        replicas=len(pushed.reports),
        silent=pushed.silent,
    )


def _aside(before: frozenset[int], now: Standing) -> str:
    """What is held ready beside the traffic, and what was and is no longer."""
    held, left = sorted(now.readied), sorted(before - now.readied - now.weights.keys())
    said = f"; held ready: revision {', '.join(map(str, held))}" if held else ""
    return said + (f"; no longer held ready: revision {', '.join(map(str, left))}" if left else "")


def show(context: Context, service: str) -> dict[str, Any]:
    """How traffic is spread now, by which policy, and the moves that led there, newest first."""
    with context.database.reading() as session:
        now = standings(session, service)[service]
        rows = session.scalars(
            select(TrafficMoveRow)
            .where(TrafficMoveRow.service == service)
            .order_by(TrafficMoveRow.id.desc())
            .limit(SHOWN)
        )
        stuck = None
        try:
            wanted(session, service, now, context.clock.now())
        except AimassError as error:
            stuck = str(error)
        moves = [{"weights": m.weights, "policy": m.policy, "who": m.who, "why": m.why, "at": m.at} for m in rows]
    return {
        "service": service,
        "deployed": now.is_deployed,
        "weights": {str(number): share for number, share in sorted(now.weights.items())},
        "held_ready": sorted(now.readied),
        "policy": now.policy,
        "options": now.options,
        "course": now.course,
        "stuck": stuck,  # why the policy cannot be followed
        "rolls_back_to": now.back if now.is_deployed else None,
        "moves": moves,
    }


def read_weights(given: Mapping[str, Any]) -> dict[int, float]:
    """Revision → per cent of what was typed; ``Invalid`` names what is no number."""
    weights: dict[int, float] = {}
    for name, weight in given.items():
        number = int(name) if str(name).isdecimal() and len(str(name)) < 10 else 0
        if number < 1:
            raise Invalid(f"a revision is a number from 1 on, not {name!r}; write 7=95 8=5", field="weights")
        if type(weight) not in (int, float):
            raise Invalid(f"the weight of revision {number} must be a number, not {weight!r}", field=f"weights.{name}")
        if number in weights:
            raise Invalid(f"revision {number} is named twice", field=f"weights.{name}")
        if 0 < weight < LEAST:
            raise Invalid(f"the weight of revision {number} must be 0 or from {LEAST} on, not {weight:g}", "weights")
        weights[number] = float(weight)
    if not weights:
        raise Invalid("no revision is named; write 7=95 8=5", field="weights")
    return weights
