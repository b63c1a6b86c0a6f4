"""Waiting until replicas have loaded a revision, and why one could not."""

import time

from aimass.control.context import Context
from aimass.control.pushing import Pushed
from aimass.control.revisions.aside import charge, crashes_of

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
    for _ in range(LOOKS):
        charge(context.database, context.settings.home, context.clock)
        with context.database.reading() as session:
            crashes = crashes_of(session, service, number)
        if crashes:
            return f"it killed a replica ({crashes[-1].cause})"
        time.sleep(LOOK_S)  # the reconciler may have found it first, and be writing it down
    return ""
