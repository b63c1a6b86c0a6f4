"""The reconciler's part: it looks at every rollout that goes on, and does what the guards' judgements come to.

Everything that a look goes on from lies in the database, written in the transaction that moves the traffic: a process
that dies at any moment leaves the rollout where it was, and the next look, wherever it runs, goes on from there.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.leases.lease import Lease
from aimass.control.pushing import Overview
from aimass.control.revisions.aside import asides, say
from aimass.control.revisions.standing import Standing, standings
from aimass.control.rollouts.counting import tally
from aimass.control.rollouts.deciding import Decision, Progress, decide
from aimass.control.rollouts.record import ACTIVE, Rollout, State, active, add_move, newest, read, unreadable, weights
from aimass.control.traffic import moving
from aimass.core.errors import AimassError, Invalid
from aimass.database import state_number
from aimass.database.rollout_tables import RolloutLookRow, RolloutMemoryRow
from aimass.database.tables import TrafficMoveRow
from aimass.monitoring.guards.base import Guard, Tally
from aimass.monitoring.guards.judging import Judgement, Watched, judge, open_watch

LOOK_S = 0.5
LONGEST_S = 2.0  # between looks at a step that lasts long: 5 s from the evidence to the return leave room for it
LOOKS = 120  # of a step, before looks become rarer
KEPT_LOOKS = 600  # for one rollout's plots, and some more for each time that it lasts as long again
SAME = 1e-6  # per cent

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Memory:
    """What the next look goes on from."""

    baseline: Tally  # counted so far
    candidate: Tally
    at_step: float  # calls of the candidate when the step began
    guards: Mapping[str, Watched]

    @property
    def requests(self) -> float:
        """Of the candidate, in this step."""
        return calls(self.candidate) - self.at_step

    def look(self, guards: Mapping[str, Guard], baseline: Tally, candidate: Tally) -> "Memory":
        """After what is counted now."""
        new = baseline.since(self.baseline), candidate.since(self.candidate)
        at_step = self.at_step if calls(candidate) >= calls(self.candidate) else calls(candidate)
        watched = {name: self.guards[name].look(guard, *new) for name, guard in guards.items()}
        return Memory(baseline, candidate, at_step, watched)

    def start(self) -> "Memory":
        """The next step begins."""
        return replace(
            self, at_step=calls(self.candidate), guards={name: item.start() for name, item in self.guards.items()}
        )


def calls(item: Tally) -> float:
    """Answered or failed."""
    return item.answered + item.failed


def open_memory(rollout: Rollout, baseline: Tally, candidate: Tally) -> Memory:
    """For a rollout's first look; ``baseline`` and ``candidate``: all that was counted before it."""
    guards = rollout.plan.made()
    watched = {name: open_watch(guard, len(rollout.plan.steps), baseline) for name, guard in guards.items()}
    return Memory(baseline, candidate, calls(candidate), watched)


def keep(session: Session, rollout: int, memory: Memory, said: list[dict[str, Any]], at: float) -> None:
    """Writes it, and what the guards said, over the one before."""
    counted = {"baseline": asdict(memory.baseline), "candidate": asdict(memory.candidate), "at_step": memory.at_step}
    guards = {name: item.to_json() for name, item in memory.guards.items()}
    session.merge(RolloutMemoryRow(rollout=rollout, counted=counted, guards=guards, evidence=said, at=at))


class Rollouts:
    """One process at a time looks, the one that has the reconciler's lease."""

    def __init__(self, context: Context, lease: Lease) -> None:
        self._context, self._lease = context, lease

    def look(self) -> None:
        """Once at every rollout that goes on."""
        due: list[tuple[str, int]] = []
        with self._context.database.reading() as session:
            for row in active(session):
                with _apart(row.service, row.revision):
                    if self._is_due(session, read(session, row)):
                        due.append((row.service, row.revision))
        overview = self._context.pusher.overview() if due else None
        if overview is None:
            return
        for service, revision in due:
            with _apart(service, revision):
                self._look(service, overview)

    def _is_due(self, session: Session, rollout: Rollout) -> bool:
        now = self._context.clock.now()
        rest_s = min(LONGEST_S, max(LOOK_S, (now - rollout.step_at) / LOOKS)) - LOOK_S / 2
        last = session.scalar(select(RolloutMemoryRow.at).where(RolloutMemoryRow.rollout == rollout.id))
        return last is None or not 0 <= now - last < rest_s

    def _look(self, service: str, overview: Overview) -> None:
        """In one transaction, so that whoever paused, promoted or aborted it meanwhile was first or comes after; and a
        process that has lost the lease sets no memory back to what it had counted itself."""
        with self._lease.session() as session:
            rollout = newest(session, service)
            if rollout is None or rollout.state not in ACTIVE:
                return
            now = standings(session, service)[service]
            outside = self._outside(session, rollout, now, overview)
            said: list[dict[str, Any]] = []
            try:
                guards = rollout.plan.made()
                before = _remembered(session, rollout, guards)
            except Invalid as error:
                decision = outside or _unwatched(rollout, error)
            else:
                memory, judgements = self._judge(session, rollout, guards, overview, before)
                decision = outside or decide(self._progress(rollout, memory), judgements)
                said = self._keep(session, rollout, memory, decision, judgements)
            state = self._take(session, rollout, now, decision, said)
        if state:
            self._context.pusher.push(state)

    def _keep(
        self, session: Session, rollout: Rollout, memory: Memory, decision: Decision, judgements: list[Judgement]
    ) -> list[dict[str, Any]]:
        """Writes what the look came to; what the guards said."""
        said = [item.to_json() for item in judgements]
        at = self._context.clock.now()
        if self._is_worth_keeping(session, rollout, decision, at):
            session.merge(RolloutLookRow(rollout=rollout.id, at=at, share=rollout.share, evidence=said))
        keep(session, rollout.id, memory.start() if decision.step > rollout.step else memory, said, at)
        return said

    @staticmethod
    def _is_worth_keeping(session: Session, rollout: Rollout, decision: Decision, at: float) -> bool:
        """All looks of the first minutes, then so many that a plot is as fine, and days of a pause are few rows."""
        last = session.scalar(select(func.max(RolloutLookRow.at)).where(RolloutLookRow.rollout == rollout.id))
        is_turn = (decision.state, decision.step) != (rollout.state, rollout.step)
        return is_turn or last is None or at - last >= (at - rollout.began_at) / KEPT_LOOKS

    @staticmethod
    def _judge(
        session: Session, rollout: Rollout, guards: Mapping[str, Guard], overview: Overview, before: Memory
    ) -> tuple[Memory, list[Judgement]]:
        plan, service = rollout.plan, rollout.service
        baseline, candidate = (
            tally(session, overview.counts, service, number, plan.bound_s)
            for number in (rollout.baseline, rollout.revision)
        )
        memory = before.look(guards, baseline, candidate)
        return memory, [
            judge(name, guard, memory.guards[name], plan.alpha, plan.least_requests if guard.LEAST == 1 else 0)
            for name, guard in guards.items()
        ]

    def _progress(self, rollout: Rollout, memory: Memory) -> Progress:
        plan = rollout.plan
        return Progress(
            state=rollout.state,
            step=rollout.step,
            steps=plan.steps,
            lasted_s=self._context.clock.now() - rollout.step_at,
            least_s=plan.least_s,
            requests=memory.requests,
            least_requests=plan.least_requests,
        )

    @staticmethod
    def _outside(session: Session, rollout: Rollout, now: Standing, overview: Overview) -> Decision | None:
        """What ends a rollout whatever was counted."""
        if not is_split(now, rollout):
            return Decision(State.ABORTED, rollout.step, moved_otherwise(session, rollout.service))
        aside = asides(session).get((rollout.service, rollout.revision))
        if aside is not None:
            return Decision(State.RETURNED, rollout.step, f"revision {rollout.revision} {say(aside)}")
        for reason in overview.failures(rollout.service, [rollout.revision]):
            return Decision(State.RETURNED, rollout.step, f"a replica cannot load it: {reason}")
        return None

    def _take(
        self, session: Session, rollout: Rollout, now: Standing, decision: Decision, evidence: list[dict[str, Any]]
    ) -> int:
        """Write down what was decided; the number of the state to push, 0 if traffic stays where it is."""
        if (decision.state, decision.step) == (rollout.state, rollout.step):
            return 0
        after = rollout.turn(decision.state, decision.step)
        who, at = self._context.who, self._context.clock.now()
        add_move(session, rollout.id, (decision.state, decision.step, after.share), (who, decision.why, at), evidence)
        if after.share == rollout.share or not is_split(now, rollout):
            return 0
        return move_to(session, self._context, after, f"rollout of revision {rollout.revision}: {decision.why}")


@contextmanager
def _apart(service: str, revision: int) -> Iterator[None]:
    """What goes wrong within concerns that rollout alone: the others are watched all the same."""
    try:
        yield
    except AimassError as error:
        _log.warning("the rollout of %s/%d: %s", service, revision, error)
    except Exception:  # noqa: BLE001 - whatever it is
        _log.exception("the rollout of %s/%d", service, revision)


def move_to(session: Session, context: Context, rollout: Rollout, why: str) -> int:
    """Its traffic as its state says, by the policy that the service has, and what is held ready beside it; the number
    of the state to push."""
    now = standings(session, rollout.service)[rollout.service]
    shares = {**dict.fromkeys(now.readied, 0.0), **weights(rollout, rollout.share)}
    aim = moving.Aim(shares, now.policy, now.options)
    moving.write(session, context, rollout.service, aim, why)
    return state_number.bump(session)


def is_split(now: Standing, rollout: Rollout) -> bool:
    """Whether traffic goes where the rollout put it."""
    there, ours = dict(now.weights), rollout.weights
    return there.keys() == ours.keys() and all(abs(there[number] - ours[number]) < SAME for number in ours)


def moved_otherwise(session: Session, service: str) -> str:
    """What ended a rollout that is not split any more, in words."""
    last = session.query(TrafficMoveRow).filter_by(service=service).order_by(TrafficMoveRow.id.desc())
    return f"traffic was moved otherwise: {last[0].why}"


def _unwatched(rollout: Rollout, error: Invalid) -> Decision:
    """It stays where it is until somebody promotes or aborts it."""
    state = State.PAUSED if rollout.state is State.PAUSED else State.HOLDING
    return Decision(state, rollout.step, f"nobody can watch it: {error}")


def _remembered(session: Session, rollout: Rollout, guards: Mapping[str, Guard]) -> Memory:
    """What the look before left; ``Invalid`` where that cannot be read."""
    row = RolloutMemoryRow
    try:
        counted, seen, _ = session.execute(
            select(row.counted, row.guards, row.evidence).where(row.rollout == rollout.id)
        ).one()
        watched = {name: Watched.from_json(seen[name], guard) for name, guard in guards.items()}
        return Memory(Tally(**counted["baseline"]), Tally(**counted["candidate"]), counted["at_step"], watched)
    except (AttributeError, KeyError, NoResultFound, TypeError, ValueError) as error:
        raise unreadable(rollout.service, rollout.revision, "the memory", error) from error
