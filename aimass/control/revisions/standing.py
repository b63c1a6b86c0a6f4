"""What the database says about a service's revisions: which take traffic, which stay loaded, which was before."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aimass.core.errors import NotFound
from aimass.database.tables import RevisionRow, ServiceRow, TrafficMoveRow


@dataclass(frozen=True)
class Standing:
    """One service at one moment; numbers only."""

    weights: Mapping[int, float]  # empty: not deployed
    served: frozenset[int]  # revisions that ever took traffic
    good: tuple[int, ...]  # revisions without an error, ascending
    moved_at: float | None

    @property
    def is_deployed(self) -> bool:
        return bool(self.weights)

    @property
    def main(self) -> int | None:
        """The revision with the most traffic."""
        return max(self.weights, key=lambda number: (self.weights[number], number)) if self.weights else None

    def before(self, number: int) -> int | None:
        """The revision to roll back to from ``number``: the newest older one that served and can be loaded."""
        older = [item for item in self.good if item < number and item in self.served]
        return older[-1] if older else None

    @property
    def candidate(self) -> int | None:
        """A revision that is being deployed: newer than all that ever served."""
        newest = self.good[-1] if self.good else None
        return newest if newest is not None and newest > max(self.served, default=0) else None

    @property
    def kept(self) -> tuple[int, ...]:
        """Revisions that replicas hold ready: those with traffic, the one before, the one that comes."""
        numbers = set(self.weights)
        for number in (self.before(self.main) if self.main else None, self.candidate):
            if number is not None:
                numbers.add(number)
        return tuple(sorted(numbers))


_NOTHING = Standing({}, frozenset(), (), None)


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
    served: dict[str, set[int]] = {}
    last: dict[str, TrafficMoveRow] = {}
    for move in session.scalars(moves):
        last[move.service] = move
        served.setdefault(move.service, set()).update(int(number) for number in move.weights)
    return {
        name: Standing(
            weights={int(number): float(share) for number, share in last[name].weights.items()} if name in last else {},
            served=frozenset(served.get(name, ())),
            good=tuple(good.get(name, ())),
            moved_at=last[name].at if name in last else None,
        )
        for name in names
    }


def standing(session: Session, service: str) -> Standing:
    """Of a service that may not exist yet."""
    if session.get(ServiceRow, service) is None:
        return _NOTHING
    return standings(session, service)[service]


def next_number(session: Session, service: str) -> int:
    """The number of the service's next revision; none is ever used twice."""
    return (session.scalar(select(func.max(RevisionRow.number)).where(RevisionRow.service == service)) or 0) + 1
