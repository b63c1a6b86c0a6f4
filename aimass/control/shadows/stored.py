"""The shadows that stand, as the database has them, and the row that changes or ends one."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.database.shadow_tables import ShadowMoveRow
from aimass.gateway.state import ShadowState


def standing_shadows(session: Session, service: str | None = None) -> dict[str, list[ShadowMoveRow]]:
    """By service: of each shadow its newest move, those that ended left out; by name."""
    moves = select(ShadowMoveRow).order_by(ShadowMoveRow.id)
    if service is not None:
        moves = moves.where(ShadowMoveRow.service == service)
    newest: dict[tuple[str, str], ShadowMoveRow] = {}
    for move in session.scalars(moves):
        newest[move.service, move.shadow] = move
    found: dict[str, list[ShadowMoveRow]] = {}
    for (name, _), move in sorted(newest.items()):
        if move.share > 0:
            found.setdefault(name, []).append(move)
    return found


def moved(row: ShadowMoveRow, share: float, who: str, why: str, at: float) -> ShadowMoveRow:
    """The same shadow at another share from here on; 0 ends it."""
    return ShadowMoveRow(
        service=row.service,
        shadow=row.shadow,
        share=share,
        revision=row.revision,
        node=row.node,
        model=row.model,
        layout=row.layout if share else None,
        plan=row.plan,
        who=who,
        why=why,
        at=at,
    )


def as_states(rows: Iterable[ShadowMoveRow]) -> tuple[ShadowState, ...]:
    """As replicas are told."""
    return tuple(ShadowState(row.shadow, row.share, row.revision, row.node, row.plan, row.layout) for row in rows)
