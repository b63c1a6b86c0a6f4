"""Waiting until replicas have loaded a revision, and why one could not."""

import time
from collections.abc import Callable

from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.pushing import Pushed
from aimass.control.revisions.aside import charge, crashes_of
from aimass.core.errors import Timeout, Unavailable

LOOKS, LOOK_S = 3, 0.2  # at what a silent replica may have died of
LOAD_S = 120.0  # a replica that needs longer to load a revision counts as silent


def wait(context: Context, service: str, number: int, state: int) -> tuple[str, Pushed]:
    """Why the revision could not be loaded (empty: it could), and who said so."""
    context.pusher.push(state)
    pushed = context.pusher.await_loaded(state, LOAD_S)
    return reason(pushed, service, number), pushed


def reason(pushed: Pushed, service: str, number: int) -> str:
    """Why replicas could not load the revision; empty if none said so."""
    name = f"{service}/{number}"
    return "; ".join(sorted({report.failed[name] for report in pushed.reports if name in report.failed}))


def killed(context: Context, service: str, number: int) -> str:
    """By which signal the revision has ended a replica that is silent now; empty if it has not."""

    def look(session: Session) -> str:
        crashes = crashes_of(session, service, number)
        return f"it killed a replica ({crashes[-1].cause})" if crashes else ""

    return look_at_deaths(context, look)


def look_at_deaths(context: Context, look: Callable[[Session], str]) -> str:
    """What ``look`` finds once it is on record what silent replicas died of; empty if nothing."""
    for _ in range(LOOKS):
        charge(context.database, context.settings.home, context.clock)
        with context.database.reading() as session:
            found = look(session)
        if found:
            return found
        time.sleep(LOOK_S)  # the reconciler may have found it first, and be writing it down
    return ""


def unheard(pushed: Pushed, what: str) -> Exception | None:
    """Why nobody can say whether replicas have loaded it; none if somebody can."""
    if pushed.is_away:
        return Unavailable("the reconciler does not answer, so nobody can say whether replicas are ready; try again")
    if pushed.silent and not pushed.reports:
        return Timeout(f"no replica has loaded {what} within {LOAD_S:.0f} s")
    return None
