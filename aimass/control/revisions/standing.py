"""What the database says about a service's revisions: which take traffic, which stay loaded, which was before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aimass.core.errors import NotFound
from aimass.database.tables import RevisionRow, ServiceRow, TrafficMoveRow


@dataclass(frozen=True)
class Standing:
    """One service at one moment; numbers only."""

    weights: Mapping[int, float]  # empty: not deployed
    readied: frozenset[int]  # revisions at 0 %, which come back
    served: frozenset[int]  # revisions that ever took traffic
    good: tuple[int, ...]  # revisions without an error, ascending
    line: tuple[int, ...]  # what rollbacks walk back, the newest last; see ``line_of``
    moved_at: float | None

    @property
    def is_deployed(self) -> bool:
        return bool(self.weights)

    @property
    def main(self) -> int | None:
        """The revision with the most traffic."""
        return _main(self.weights)

    @property
    def before(self) -> int | None:
        """The revision to roll back to: what was live before the main one, if it can be loaded, else before that."""
        if not self.is_deployed:
            return None
        return next(
            (number for number in reversed(self.line[:-1]) if number in self.good and number != self.main), None
        )

    @property
    def candidate(self) -> int | None:
        """A revision that is being deployed: newer than all that ever served."""
        newest = self.good[-1] if self.good else None
        return newest if newest is not None and newest > max(self.served, default=0) else None

    @property
    def kept(self) -> tuple[int, ...]:
        """Revisions that replicas hold ready: those with traffic, the one before, those that come."""
        numbers = set(self.weights) | self.readied
        for number in (self.before, self.candidate):
            if number is not None:
                numbers.add(number)
        return tuple(sorted(numbers))


_NOTHING = Standing({}, frozenset(), frozenset(), (), (), None)


def stand(moves: Iterable[Mapping[int, float]], good: Iterable[int], moved_at: float | None = None) -> Standing:
    """Where a service stands after these moves of its traffic, oldest first; an empty one undeployed it."""
    history = list(moves)
    newest = history[-1] if history else {}
    return Standing(
        weights=_with_traffic(newest),
        readied=_readied(newest),
        served=frozenset(number for weights in history for number in _with_traffic(weights)),
        good=tuple(good),
        line=line_of(history),
        moved_at=moved_at,
    )


def line_of(moves: Iterable[Mapping[int, float]]) -> tuple[int, ...]:
    """Each revision after the one that was live before it. Going back to one of the line leaves all after it out, so
    that the next rollback goes further back instead of swinging; an undeploy changes nothing.

    A revision that the move before held ready at 0 % was not gone back to but deployed again: it comes to the end.
    """
    line: list[int] = []
    readied: frozenset[int] = frozenset()
    for weights in moves:
        main = _main(_with_traffic(weights))
        if main in line and main not in readied:
            while line[-1] != main:
                line.pop()
        elif main is not None and line[-1:] != [main]:
            line.append(main)
        readied = _readied(weights)
    return tuple(line)


def standings(session: Session, service: str | None = None) -> dict[str, Standing]:
    """Of every service, or of one; ``NotFound`` names what exists."""
    names = list(session.scalars(select(ServiceRow.name).order_by(ServiceRow.name)))
    if service is not None:
        if service not in names:
            raise NotFound(f"no service is named {service!r}; there are: {', '.join(names[:20]) or 'none yet'}")
        names = [service]
    good: dict[str, list[int]] = {}
    revisions = select(RevisionRow.service, RevisionRow.number).where(RevisionRow.error.is_(None))
    moves = select(TrafficMoveRow).order_by(TrafficMoveRow.id)
    if service is not None:
        revisions = revisions.where(RevisionRow.service == service)
        moves = moves.where(TrafficMoveRow.service == service)
    for name, number in session.execute(revisions.order_by(RevisionRow.number)):
        good.setdefault(name, []).append(number)
    moved: dict[str, list[TrafficMoveRow]] = {}
    for move in session.scalars(moves):
        moved.setdefault(move.service, []).append(move)
    found = {}
    for name in names:
        rows = moved.get(name, [])
        weights = [{int(number): float(share) for number, share in row.weights.items()} for row in rows]
        found[name] = stand(weights, good.get(name, ()), rows[-1].at if rows else None)
    return found


def standing(session: Session, service: str) -> Standing:
    """Of a service that may not exist yet."""
    if session.get(ServiceRow, service) is None:
        return _NOTHING
    return standings(session, service)[service]


def next_number(session: Session, service: str) -> int:
    """The number of the service's next revision; none is ever used twice."""
    return (session.scalar(select(func.max(RevisionRow.number)).where(RevisionRow.service == service)) or 0) + 1


def _main(weights: Mapping[int, float]) -> int | None:
    return max(weights, key=lambda number: (weights[number], number)) if weights else None


def _with_traffic(weights: Mapping[int, float]) -> Mapping[int, float]:
    return {number: share for number, share in weights.items() if share > 0}


def _readied(weights: Mapping[int, float]) -> frozenset[int]:
    return frozenset(number for number, share in weights.items() if share == 0)
