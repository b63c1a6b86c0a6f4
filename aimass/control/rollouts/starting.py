"""Starting a rollout: everything that can be wrong with it is said before any traffic moves."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.pushing import Overview
from aimass.control.revisions.standing import Standing, standings
from aimass.control.rollouts.counting import p95_bound, tally
from aimass.control.rollouts.driving import keep, move_to, open_memory
from aimass.control.rollouts.plan import ALWAYS, STEPS, Plan
from aimass.control.rollouts.record import Rollout, State, add_move, newest, refuse_while_active
from aimass.control.rollouts.showing import Done, done
from aimass.control.traffic import moving
from aimass.control.traffic.naming import name_whole
from aimass.core.errors import Bug, Conflict, Invalid, Unavailable
from aimass.database.rollout_tables import RolloutRow
from aimass.database.tables import RevisionRow
from aimass.gateway.metrics import Snapshot
from aimass.serving.traffic.making import STICKY, WEIGHTED


@dataclass(frozen=True)
class Wish:
    """What was asked for; ``guards`` of none: those that the service has figures for."""

    steps: tuple[float, ...] = STEPS
    guards: tuple[str, ...] | None = None
    tolerances: Mapping[str, float] = field(default_factory=dict)
    least_requests: int = 100
    least_s: float = 15.0

    def asked(self, known: Collection[str] = ()) -> tuple[str, ...]:
        """Guards that were named, also by a tolerance; without those that are ``known``."""
        named = tuple(self.tolerances) if self.guards is None else self.guards
        return tuple(name for name in named if name not in known)


def start(context: Context, service: str, revision: int, wish: Wish, why: str = "") -> Done:
    """Give the revision the first step's share of the traffic; the reconciler takes it on from there.

    Raises, and nothing has moved, when the plan makes no sense, a guard that was asked for has nothing to go by, or the
    revision cannot be loaded.
    """
    _plan(wish, (*ALWAYS, *wish.asked(ALWAYS)) if wish.guards is None else wish.guards, math.inf)  # said first of all
    with context.turns.of(service):
        overview = context.pusher.overview()
        if overview is None:
            raise Unavailable("the reconciler does not answer, so nobody would watch the rollout; try again")
        with context.database.reading() as session:
            baseline = _check(session, service, revision)
            plan = _fitting(session, overview.counts, wish, (service, baseline, revision))
        aim = moving.Aim({baseline: 100.0 - plan.steps[0], revision: plan.steps[0]})
        moving.check(context, service, aim)
        why = why or f"rollout of revision {revision}"
        moving.ready(context, service, {revision}, why)
        with context.database.session() as session:
            rollout, state = _begin(session, context, (service, baseline, revision), plan, overview, why)
        pushed = context.pusher.push(state)
    watching = ", ".join(plan.guards) or "nothing"
    message = f"revision {revision} of {service} takes {rollout.share:g} % of the calls; {watching} on guard"
    return done(rollout, message + _left_out(wish, plan), pushed)


def _check(session: Session, service: str, revision: int) -> int:
    """The revision that all traffic goes to; ``Conflict`` where a rollout cannot begin."""
    now: Standing = standings(session, service)[service]
    refuse_while_active(session, service)
    if now.main is None and revision in now.readied:
        raise Conflict(f"{service} takes no calls yet; give it all: aimass traffic {service} {revision}=100")
    if now.main is None:
        raise Conflict(f"{service} is not deployed; deploy it")
    if len(now.weights) > 1:
        said = ", ".join(f"revision {number}: {share:g} %" for number, share in now.weights.items())
        raise Conflict(
            f"{service} is split ({said}), and a rollout begins with one revision; first: {name_whole(service, now)}"
        )
    if now.main == revision:
        raise Conflict(f"{service} revision {revision} has all traffic already; there is nothing to roll out")
    if now.policy not in (WEIGHTED, STICKY):
        raise Conflict(
            f"{service} is moved by the policy {now.policy}, which a rollout would fight with; first: "
            f"{name_whole(service, now)}"
        )
    return now.main


def _fitting(session: Session, counts: Snapshot, wish: Wish, who: tuple[str, int, int]) -> Plan:
    """The plan with guards that there is something to watch by; ``Invalid`` names one that was asked for in vain."""
    service, baseline, revision = who
    document = session.get_one(RevisionRow, (service, baseline)).document
    bound_s = p95_bound(counts, service, baseline, (document.get("slo") or {}).get("p95_ms"))
    before = tally(session, counts, service, baseline)
    missing = {
        "latency": "" if math.isfinite(bound_s) else "has too few calls for a p95, and no slo p95_ms; call it first",
        "quality": "" if before.labelled else "has no labels yet; send feedback for its answers",
        "agreement": ""
        if tally(session, counts, service, revision).compared
        else f"has no rows compared by a shadow yet; begin one: aimass shadow {service} {revision} --share 10",
    }
    for name in wish.asked():
        if missing.get(name):
            raise Invalid(f"guard {name} has nothing to go by: {service} {missing[name]}, or leave it out", "guards")
    if wish.guards is not None:
        return _plan(wish, wish.guards, bound_s)
    able = [name for name in (*ALWAYS, "agreement", "quality") if not missing.get(name)]
    return _plan(wish, (*able, *wish.asked(able)), bound_s)


def _plan(wish: Wish, guards: tuple[str, ...], bound_s: float) -> Plan:
    plan = Plan(wish.steps, guards, dict(wish.tolerances), wish.least_requests, wish.least_s, bound_s)
    plan.made()  # a guard that is not there is said now
    return plan


def _begin(
    session: Session, context: Context, who: tuple[str, int, int], plan: Plan, overview: Overview, why: str
) -> tuple[Rollout, int]:
    """The rollout, with its first share of traffic written down; and the number of the state to push."""
    service, baseline, revision = who
    at = context.clock.now()
    row = RolloutRow(service=service, revision=revision, baseline=baseline, plan=plan.to_json(), created_at=at)
    row.who, row.why = context.who, why
    session.add(row)
    session.flush()
    add_move(session, row.id, (State.RUNNING, 0, plan.steps[0]), (context.who, why, at), ())
    session.flush()
    rollout = newest(session, service)
    if rollout is None:
        raise Bug(f"the rollout of {service} that was just stored is not there")
    counted = [tally(session, overview.counts, service, number, plan.bound_s) for number in (baseline, revision)]
    keep(session, rollout.id, open_memory(rollout, counted[0], counted[1]), [], at)
    context.turns.note(session, service, {})  # what was readied takes calls
    return rollout, move_to(session, context, rollout, why)


def _left_out(wish: Wish, plan: Plan) -> str:
    if wish.guards is not None or "latency" in plan.guards:
        return ""
    return " (latency is not: too few calls for a p95, and no slo p95_ms)"
