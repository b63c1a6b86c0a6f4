"""Letting in again what was put aside."""

from dataclasses import dataclass

from aimass.control.context import Context
from aimass.control.pushing import Acknowledged
from aimass.control.revisions.aside import asides, move
from aimass.control.revisions.standing import standings
from aimass.database import state_number


@dataclass(frozen=True, kw_only=True)
class Released(Acknowledged):
    """A service whose revisions are loaded again."""

    revisions: tuple[int, ...] = ()
    changed: bool


def release(context: Context, service: str) -> Released:
    """Have replicas load again what was put aside of the service; a further two crashes put it aside again."""
    with context.database.session() as session:
        standings(session, service)  # named at all
        numbers = tuple(sorted(number for name, number in asides(session) if name == service))
        if not numbers:
            return Released(
                service=service, changed=False, message=f"no revision of {service} is put aside", replicas=0
            )
        for number in numbers:
            move(session, (service, number), False, context.who, "released", context.clock.now())
        state = state_number.bump(session)
    pushed = context.pusher.push(state)
    named = ", ".join(map(str, numbers))
    return Released(
        service=service,
        revisions=numbers,
        changed=True,
        message=f"{service} revision {named} is loaded again, on probation",
        replicas=len(pushed.reports),
        silent=pushed.silent,
    )
