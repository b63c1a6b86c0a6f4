"""Half-done changes of services, whose process has died: each is finished, or undone, and says so.

===========================================  =======================================================================
its process died                             and so
===========================================  =======================================================================
between storing a revision and its traffic   once every live replica has loaded it, within ``FINISH_S`` of its being
                                             stored, all traffic goes there, if that was asked; else it is given up
while revisions were being held ready        they are held ready no longer; traffic stays where it was
after traffic had moved                      it is done: only the turn is given back
===========================================  =======================================================================
"""

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.leases.lease import Lease
from aimass.control.leases.turns import READIED, STORED, Turn
from aimass.control.pushing import Overview
from aimass.control.revisions.standing import standing
from aimass.control.traffic.moving import Aim, leave, write
from aimass.database import state_number
from aimass.database.tables import RevisionRow, TrafficMoveRow
from aimass.serving.traffic.base import ALL_PERCENT

FINISH_S = 60.0  # whoever asked for it is still there to see it; later it would surprise
GIVEN_UP = "the process that deployed it died"
WHO = "repair"  # in the history of traffic
_log = logging.getLogger(__name__)


def repair(context: Context, lease: Lease, overview: Overview) -> list[str]:
    """One look; what was decided, in words. What has to wait for replicas is decided by a later look."""
    said = []
    context = context.by(WHO, context.account)
    for turn, note in context.turns.lost():
        decided = _put_right(context, lease, overview, turn, note)
        if decided:
            said.append(decided)
            _log.warning("%s", decided)
    return said


def mended(session: Session, service: str) -> str:
    """What was decided of the service's newest change, if its process had died; empty: it had not."""
    query = select(RevisionRow).where(RevisionRow.service == service).order_by(RevisionRow.number.desc()).limit(1)
    newest = session.scalars(query).first()
    if newest is not None and newest.error and newest.error.startswith(GIVEN_UP):
        return f"revision {newest.number} was given up: {newest.error}"
    moves = select(TrafficMoveRow).where(TrafficMoveRow.service == service).order_by(TrafficMoveRow.id.desc()).limit(1)
    move = session.scalars(moves).first()
    return move.why if move is not None and move.who == WHO else ""


def _put_right(context: Context, lease: Lease, overview: Overview, turn: Turn, note: Mapping[str, Any]) -> str:
    with lease.session() as session:
        decided = _decide(session, context, overview, turn, note)
        if decided is None or not context.turns.give_back(session, turn):
            return ""
        number = state_number.bump(session) if decided else 0
    if number:
        context.pusher.push(number)
    return decided


def _decide(session: Session, context: Context, overview: Overview, turn: Turn, note: Mapping[str, Any]) -> str | None:
    """What is done now, in the transaction; empty: there was nothing to do; None: it is too early to say."""
    dead = f"{turn.holder_in_words} died"
    if READIED in note:
        numbers = set(note[READIED])
        why = f"leaves revision {', '.join(map(str, sorted(numbers)))} again: {dead} while it was readied"
        return f"{turn.service}: {why}" if leave(session, context, turn.service, numbers, why) else ""
    if STORED not in note:
        return ""
    revision = note[STORED]
    row = session.get(RevisionRow, (turn.service, revision))
    now = standing(session, turn.service)
    if row is None or row.error or revision in now.named:
        return ""
    failures = overview.failures(turn.service, [revision])
    asked = bool(note["why"])
    if (
        asked
        and not failures
        and overview.reports
        and overview.ready(turn.service, [revision]) == len(overview.reports)
    ):
        why = f"{note['why']}; finished, as {dead} in between"
        write(session, context, turn.service, Aim({revision: ALL_PERCENT}), why)
        return f"{turn.service}: all traffic goes to revision {revision}, {why}"
    if asked and not failures and context.clock.now() - row.created_at < FINISH_S:
        return None
    because = f"and replicas could not load it: {failures[0]}" if failures else "and replicas had not loaded it"
    row.error = f"{GIVEN_UP} ({dead}) {because}; deploy it again"
    return f"{turn.service}: revision {revision} was given up: {row.error}"
