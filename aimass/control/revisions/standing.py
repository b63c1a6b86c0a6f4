"""What the database says about a service's revisions: which take traffic, which stay loaded, which was before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aimass.control.shadows.stored import standing_shadows
from aimass.core.errors import NotFound
from aimass.database.tables import RevisionRow, ServiceRow, TrafficMoveRow
from aimass.serving.traffic.cut import Pieces, recut
from aimass.serving.traffic.making import WEIGHTED


@dataclass(frozen=True)
class Standing:
    """One service at one moment; numbers only."""

    weights: Mapping[int, float]  # empty: not deployed
    readied: frozenset[int]  # revisions at 0 %, held ready
    named: frozenset[int]  # revisions that ever took traffic, or were held ready
    good: tuple[int, ...]  # revisions without an error, ascending
    line: tuple[int, ...]  # what rollbacks walk back, the newest last; see ``line_of``
    moved_at: float | None
    policy: str = WEIGHTED
    options: Mapping[str, Any] = field(default_factory=dict)
    course: Mapping[str, Any] | None = None  # of a policy that moves by itself
    pieces: Pieces = ()
    shadows: frozenset[int] = frozenset()  # revisions that look on while it is deployed

    @property
    def is_deployed(self) -> bool:
        return bool(self.weights)

    @property
    def main(self) -> int | None:
        """The revision with the most traffic."""
        return _main(self.weights)

    @property
    def back(self) -> int | None:
        """The revision to roll back to: the main one, while a newcomer that never was it shares its traffic; else the
        one before."""
        return self.main if self.weights.keys() - set(self.line) else self.before

    @property
    def before(self) -> int | None:
        """What was live before the main revision, if it can be loaded, else before that."""
        if not self.is_deployed:
            return None
        return next(
            (number for number in reversed(self.line[:-1]) if number in self.good and number != self.main), None
        )

    @property
    def coming(self) -> int | None:
        """A revision that is being deployed: newer than all that any move names."""
        newest = self.good[-1] if self.good else None
        return newest if newest is not None and newest > max(self.named, default=0) else None

    @property
    def kept(self) -> tuple[int, ...]:
        """Revisions that replicas hold ready: those with traffic, the one before, those that come."""
        numbers = set(self.weights) | self.readied | (self.shadows if self.is_deployed else set())
        for number in (self.before, self.coming):
            if number is not None:
                numbers.add(number)
        return tuple(sorted(numbers))


_NOTHING = Standing({}, frozenset(), frozenset(), (), (), None)


def stand(moves: Iterable[Mapping[int, float]], good: Iterable[int]) -> Standing:
    """Where a service stands after these moves of its traffic, oldest first; an empty one undeployed it."""
    history = list(moves)
    newest = history[-1] if history else {}
    return Standing(
        weights=_with_traffic(newest),
        readied=_readied(newest),
        named=frozenset(number for weights in history for number in weights),
        good=tuple(good),
        line=line_of(history),
        moved_at=None,
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
    moves = select(TrafficMoveRow.service, TrafficMoveRow.weights).order_by(TrafficMoveRow.id)
    newest = select(func.max(TrafficMoveRow.id)).group_by(TrafficMoveRow.service)
    if service is not None:
        revisions = revisions.where(RevisionRow.service == service)
        moves = moves.where(TrafficMoveRow.service == service)
        newest = newest.where(TrafficMoveRow.service == service)
    for name, number in session.execute(revisions.order_by(RevisionRow.number)):
        good.setdefault(name, []).append(number)
    moved: dict[str, list[Mapping[int, float]]] = {}
    for name, weights in session.execute(moves):
        moved.setdefault(name, []).append({int(number): float(share) for number, share in weights.items()})
    last = {row.service: row for row in session.scalars(select(TrafficMoveRow).where(TrafficMoveRow.id.in_(newest)))}
    found, shadows = {}, standing_shadows(session, service)
    for name in names:
        now = _by(last.get(name), stand(moved.get(name, ()), good.get(name, ())))
        found[name] = replace(now, shadows=frozenset(row.revision for row in shadows.get(name, ())))
    return found


def _by(newest: TrafficMoveRow | None, now: Standing) -> Standing:
    """The same with how its newest move spreads calls."""
    if newest is None:
        return now
    pieces: Pieces = tuple((number, count) for number, count in newest.pieces or ())
    return replace(
        now,
        moved_at=newest.at,
        policy=newest.policy,
        options=newest.options,
        course=newest.course,
        pieces=pieces or (recut((), now.weights) if now.weights else ()),
    )


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
