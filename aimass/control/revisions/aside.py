"""Revisions that kill their replicas: each crash is written down, and at the second the revision is put aside, until
somebody releases it or deploys another."""

import time
from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.shadows.crashing import end_guilty
from aimass.core.clock import Clock
from aimass.core.home import Home
from aimass.core.ids import RevisionId
from aimass.database import state_number
from aimass.database.engine import Database
from aimass.database.tables import AsideMoveRow, CrashRow, RevisionRow
from aimass.serving.marks.evidence import Death, find_dead

WINDOW_S = 86_400.0  # crashes that lie further back say nothing about the next
ENOUGH = 2.0  # times the whole blame: once may be the machine's memory, or a bug that rare rows meet


def is_enough(crashes: Iterable[tuple[float, float]], now: float) -> bool:
    """Whether these (time, share of the blame), all since its last release, put a revision aside."""
    return sum(share for at, share in crashes if at > now - WINDOW_S) >= ENOUGH - 1e-9


def charge(database: Database, home: Home, clock: Clock) -> list[Death]:
    """Write down what processes left that died since the last look; the deaths that had a revision as their cause.

    Safe to call from several processes: a death counts once.
    """
    found = [(path, death) for path, death in find_dead(home.marks)]
    deaths = [death for _, death in found if death is not None and death.suspects]
    if deaths:
        with database.session() as session:
            for death in deaths:
                _write_down(session, death, clock.now())
            end_guilty(session, deaths, clock.now())
    for path, _ in found:
        path.unlink(missing_ok=True)
    return deaths


def asides(session: Session) -> dict[RevisionId, AsideMoveRow]:
    """The revisions that are put aside now, with the move that did it."""
    newest: dict[RevisionId, AsideMoveRow] = {}
    for move in session.scalars(select(AsideMoveRow).order_by(AsideMoveRow.id)):
        newest[move.service, move.revision] = move
    return {revision: move for revision, move in newest.items() if move.is_aside}


def say(move: AsideMoveRow) -> str:
    """What callers and owners are told, after "revision N"."""
    return f"was put aside: {move.why}; deploy another revision, or try it again with: aimass release {move.service}"


def crashes_of(session: Session, service: str, revision: int) -> list[CrashRow]:
    """Those that its replicas died of since it was last released, oldest first."""
    moves = select(AsideMoveRow.at).where(
        AsideMoveRow.service == service, AsideMoveRow.revision == revision, AsideMoveRow.is_aside.is_(False)
    )
    since = max(session.scalars(moves), default=0.0)
    rows = select(CrashRow).where(CrashRow.service == service, CrashRow.revision == revision, CrashRow.at > since)
    return list(session.scalars(rows.order_by(CrashRow.at)))


def move(session: Session, revision: RevisionId, is_aside: bool, who: str, why: str, at: float) -> None:
    """Put it aside, or let it in again, from here on; the caller raises the state's number."""
    service, number = revision
    session.add(AsideMoveRow(service=service, revision=number, is_aside=is_aside, who=who, why=why, at=at))


def _write_down(session: Session, death: Death, now: float) -> None:
    for suspect in death.suspects:
        revision = (suspect.service, suspect.revision)
        known = session.get(CrashRow, (death.process, *revision)) is not None
        if known or session.get(RevisionRow, revision) is None:
            continue
        session.add(
            CrashRow(
                process=death.process,
                service=suspect.service,
                revision=suspect.revision,
                node=suspect.node,
                cause=death.signal,
                share=suspect.share,
                at=now,
            )
        )
        session.flush()
        crashes = crashes_of(session, *revision)
        if revision not in asides(session) and is_enough([(row.at, row.share) for row in crashes], now):
            move(session, revision, True, "aimass", _reason(crashes), now)
            state_number.bump(session)


def _reason(crashes: Sequence[CrashRow]) -> str:
    last = crashes[-1]
    where = f"in node {last.node!r}" if last.node else "while it was loaded"
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(last.at))
    times = "twice" if len(crashes) == 2 else f"{len(crashes)} times"
    return f"it killed a replica {times} ({last.cause} {where}, last at {when} UTC)"
