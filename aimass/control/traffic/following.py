"""Traffic that moves by itself: what its policy says now becomes a move, as if somebody had made it."""

import logging
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.leases.lease import Lease
from aimass.control.revisions.standing import Standing, standings
from aimass.control.traffic.moving import go_on
from aimass.core.errors import AimassError, Conflict
from aimass.monitoring.feedback.quality import quality
from aimass.serving.traffic.base import Weights
from aimass.serving.traffic.making import make_traffic
from aimass.serving.traffic.rewards import Rewards

CHANGE = 1.0  # per cents by which a share must change, so that a history of a bandit stays one that people can read
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Course:
    """What a policy that moves by itself was asked for."""

    start: Weights
    goal: Weights
    since: float  # seconds since 1970 UTC


def course_of(now: Standing) -> Course | None:
    """None for a service whose traffic stays where it was put."""
    if now.course is None or not now.is_deployed:
        return None
    start, goal = ({int(number): share for number, share in now.course[name].items()} for name in ("from", "to"))
    return Course(start, goal, float(now.course["since"]))


def wanted(session: Session, service: str, now: Standing, at: float) -> dict[int, float] | None:
    """The shares that the policy wants by now; None where it wants what is in force, or nearly. ``Invalid`` for rewards
    that it cannot make sense of."""
    course = course_of(now)
    if course is None:
        return None
    found = quality(session, service, course.since)
    rewards = {number: Rewards(q.rewards, q.reward_total, q.reward_square) for number, q in found.items()}
    traffic = make_traffic(now.policy, course.goal, now.options, course.start)
    shares = traffic.shares(at - course.since, rewards)
    numbers = shares.keys() | now.weights.keys()
    changes = [abs(shares.get(number, 0.0) - now.weights.get(number, 0.0)) for number in numbers]
    return shares if max(changes) >= CHANGE or shares.keys() != now.weights.keys() else None


class Following:
    """A work of the reconciler: ``keep`` moves what is due, as long as ``lease`` is its own."""

    def __init__(self, context: Context, lease: Lease) -> None:
        self._context, self._lease = context, lease
        self._said: dict[str, str] = {}

    def keep(self) -> list[str]:
        """The services whose traffic was moved."""
        with self._context.database.reading() as session:
            names = [name for name, now in standings(session).items() if course_of(now) is not None]
        return [name for name in names if self._keep(name)]

    def _keep(self, service: str) -> bool:
        context, why = self._context, ""
        try:
            with context.database.reading() as session:
                now = standings(session, service)[service]
                shares = wanted(session, service, now, context.clock.now())
            if shares is not None:
                with suppress(Conflict), context.turns.of(service):  # who changes it now, or leads now, goes first
                    return self._go_on(service, now, shares)
        except AimassError as error:
            why = str(error)
            if self._said.get(service) != why:
                _log.warning("traffic of %s stays where it is: %s", service, why)
        self._said[service] = why
        return False

    def _go_on(self, service: str, now: Standing, shares: Weights) -> bool:
        with self._lease.session() as session:
            state = go_on(session, self._context, service, now, shares)
        if state:
            self._context.pusher.push(state)
        return state > 0
