"""A shadow that killed a replica ends at once: it is there to look on, and a second death would be callers' answers."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from aimass.control.revisions.standing import standings
from aimass.control.shadows.stored import as_states, moved, standing_shadows
from aimass.database import state_number
from aimass.serving.marks.evidence import Death


def end_guilty(session: Session, deaths: Sequence[Death], now: float) -> None:
    """End the shadows that ran when processes died. A revision with traffic may have died of its callers' rows, and is
    judged as any (``revisions.aside``)."""
    found = {(suspect.service, suspect.revision): death for death in deaths for suspect in death.suspects}
    ended = False
    standing = standings(session)
    for service, rows in standing_shadows(session).items():
        for row, state in zip(rows, as_states(rows), strict=True):
            death = found.get(state.plan_of(service))
            if death is None or (not row.node and row.revision in standing[service].weights):
                continue
            session.add(moved(row, 0.0, "aimass", f"it killed a replica ({death.signal})", now))
            ended = True
    if ended:
        state_number.bump(session)
