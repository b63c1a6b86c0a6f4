"""Let a shadow look on at a service's calls, change how many it takes, end it, and see how it did."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.pushing import Acknowledged, Pushed
from aimass.control.revisions.loading import look_at_deaths, unheard, wait
from aimass.control.revisions.standing import standings
from aimass.control.shadows.choosing import Chosen, Wish, check_share, choose
from aimass.control.shadows.seeing import figures_of
from aimass.control.shadows.stored import as_states, moved, standing_shadows
from aimass.core.errors import Conflict, Invalid, NotFound, Unavailable
from aimass.database import state_number
from aimass.database.shadow_tables import ShadowMoveRow


@dataclass(frozen=True, kw_only=True)
class Shadowed(Acknowledged):
    """How many per cent of the service's calls the shadow runs."""

    shadow: str
    share: float


def cast(context: Context, service: str, wish: Wish, share: float) -> Shadowed:
    """Have the shadow run so many per cent of the service's calls, once the live replicas have loaded it. When one
    cannot, nothing stands, and the error says why."""
    check_share(share)
    with context.turns.of(service):
        with context.database.session() as session:
            now = standings(session, service)[service]
            if not now.is_deployed:
                raise Conflict(f"{service} is not deployed, so that it has no calls to shadow; deploy it")
            chosen = choose(session, context.store, service, now, wish)
            known = [row for row in standing_shadows(session, service).get(service, ()) if row.shadow == chosen.name]
            share_before = known[0].share if known else 0.0
            row = _write(session, context, service, chosen, share, known[0] if known else None)
            (state,) = as_states([row])
            number = state_number.bump(session)
        wrong: Exception | None = Unavailable("nobody waited for it any more")
        try:
            failed, pushed = wait(context, *state.plan_of(service), number)
            failed = failed or _killed(context, row, pushed)
            what = f"shadow {row.shadow} of {service}"
            wrong = Invalid(f"{what} cannot be loaded: {failed}") if failed else unheard(pushed, what)
        finally:
            if wrong is not None:
                _take_back(context, row, share_before, str(wrong))
        if wrong is not None:
            raise wrong
        return _shadowed(row, share, f"runs {share:g} % of the calls of {service}", pushed)


def end(context: Context, service: str, wish: Wish | None = None) -> list[Shadowed]:
    """End one shadow, or all of the service's. ``NotFound`` names those that stand."""
    with context.turns.of(service):
        with context.database.session() as session:
            now = standings(session, service)[service]
            rows = standing_shadows(session, service).get(service, [])
            wanted = rows if wish is None else [row for row in rows if _is_meant(row, wish)]
            if not wanted:
                there = ", ".join(row.shadow for row in rows) or "none"
                raise NotFound(f"{service} has no such shadow; there are: {there}", field="shadow")
            for row in wanted:
                session.add(moved(row, 0.0, context.who, "ended", context.clock.now()))
            number = state_number.bump(session)
        pushed = context.pusher.push(number) if now.kept else Pushed()
        return [_shadowed(row, 0.0, f"of {service} ended", pushed) for row in wanted]


def show(context: Context, service: str) -> dict[str, Any]:
    """The shadows that stand, those that were compared before, and every move, oldest first."""
    overview = context.pusher.overview()
    with context.database.reading() as session:
        standings(session, service)
        rows = standing_shadows(session, service).get(service, [])
        moves = select(ShadowMoveRow).where(ShadowMoveRow.service == service).order_by(ShadowMoveRow.id)
        history = [
            {"shadow": move.shadow, "share": move.share, "who": move.who, "why": move.why, "at": move.at}
            for move in session.scalars(moves)
        ]
    return {"service": service, "shadows": figures_of(service, rows, overview), "moves": history}


def _shadowed(row: ShadowMoveRow, share: float, what: str, pushed: Pushed) -> Shadowed:
    return Shadowed(
        service=row.service,
        shadow=row.shadow,
        share=share,
        message=f"shadow {row.shadow} {what}",
        replicas=len(pushed.reports),
        silent=pushed.silent,
    )


def _is_meant(row: ShadowMoveRow, wish: Wish) -> bool:
    if wish.revision is not None:
        return row.shadow == str(wish.revision)
    is_node = row.node == wish.node or row.node.endswith(f".{wish.node}")
    return bool(row.node) and is_node and wish.model in ("", row.model)


def _write(
    session: Session, context: Context, service: str, chosen: Chosen, share: float, known: ShadowMoveRow | None
) -> ShadowMoveRow:
    is_same = known is not None and known.revision == chosen.revision
    row = ShadowMoveRow(
        service=service,
        shadow=chosen.name,
        share=share,
        revision=chosen.revision,
        node=chosen.node,
        model=chosen.model,
        layout=chosen.layout.to_json() if chosen.layout else None,
        plan=known.plan if known is not None and is_same else 0,
        who=context.who,
        why="shadows" if known is None else f"from {known.share:g} %",
        at=context.clock.now(),
    )
    session.add(row)
    session.flush()
    if chosen.layout is not None and not row.plan:
        row.plan = row.id
    return row


def _killed(context: Context, row: ShadowMoveRow, pushed: Pushed) -> str:
    """By which signal it has ended a replica since it stands; empty if it has not."""
    if pushed.silent:
        return look_at_deaths(context, partial(_ended, row=row))
    with context.database.reading() as session:  # who died may have been replaced already
        return _ended(session, row)


def _ended(session: Session, row: ShadowMoveRow) -> str:
    """Why somebody else has ended it since: the reconciler, when it killed a replica. Empty: it stands."""
    same = ShadowMoveRow.service == row.service, ShadowMoveRow.shadow == row.shadow
    last = session.scalars(select(ShadowMoveRow).where(*same).order_by(ShadowMoveRow.id.desc()).limit(1)).one()
    return "" if last.share else last.why


def _take_back(context: Context, row: ShadowMoveRow, share: float, why: str) -> None:
    """To the share that it had before, unless it has been ended for what it did."""
    with context.database.session() as session:
        if _ended(session, row):
            return
        session.add(moved(row, share, context.who, f"taken back: {why}", context.clock.now()))
        number = state_number.bump(session)
    context.pusher.push(number)
