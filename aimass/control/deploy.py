"""Deploy, undeploy, roll back: traffic moves only to a revision that the live replicas have loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.leases.turns import STORED
from aimass.control.pushing import Acknowledged
from aimass.control.requests.owned import is_own
from aimass.control.revisions import planning
from aimass.control.revisions.loading import killed, unheard, wait
from aimass.control.revisions.machine_file import machine_of
from aimass.control.revisions.standing import Standing, next_number, standing, standings
from aimass.control.rollouts.record import refuse_while_active
from aimass.control.traffic.moving import Aim, end, leave, ready, shift
from aimass.control.traffic.naming import name_split
from aimass.core.errors import Conflict, Invalid, Timeout, Unavailable
from aimass.database import state_number
from aimass.database.tables import RevisionRow, ServiceRow
from aimass.registry import aliases
from aimass.serving.layout import Layout
from aimass.serving.traffic.base import ALL_PERCENT


@dataclass(frozen=True, kw_only=True)
class Deployed(Acknowledged):
    """The revision that was asked for, and who takes the service's calls."""

    revision: int
    plan: str
    why: str
    changed: bool
    weights: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Undeployed(Acknowledged):
    """A service that takes no calls any more; its revisions stay on record."""

    changed: bool


def deploy(context: Context, text: str, name: str = planning.NAME, traffic: bool = True) -> Deployed:
    """Make the document the service's newest revision, or take back an earlier one that it is, and move all traffic
    there. Without ``traffic`` it is held ready, and takes what a split or a rollout gives it.

    Nothing moves, and the running revision goes on, when anything is wrong with the document, its artifacts or its
    load in any live replica.
    """
    with context.database.reading() as session:
        drafted = planning.draft(session, text, name)
        _check_own(session, context, drafted.spec.service)
    with context.turns.of(drafted.spec.service):
        same = _unchanged(context, drafted)
        if same is not None:
            return same
        if traffic:
            with context.database.reading() as session:
                refuse_while_active(session, drafted.spec.service)
        why = f"deployed from {name}"
        back = _take_back(context, drafted, why, traffic)
        if back is not None:
            return back
        planned = planning.plan(drafted, context.store, machine_of(context.settings))
        number, state = _store(context, drafted, planned, why if traffic else "")
        _check_loaded(context, drafted.spec.service, number, state)
        if not traffic:
            ready(context, drafted.spec.service, {number}, why, anew=True)
            return _held(context, drafted.spec.service, number)
        return _move(context, drafted.spec.service, number, why)


def rollback(context: Context, service: str) -> Deployed:
    """Move all traffic to the revision that was live before the one that has it; again: to the one before that."""
    with context.turns.of(service):
        with context.database.session() as session:
            now = standings(session, service)[service]
            if now.main is None:
                raise Conflict(f"{service} is not deployed; deploy it")
            target = now.back
            if target is None:
                raise Conflict(f"{service} has no revision before {now.main}; deploy another document instead")
            state = state_number.bump(session)  # so that replicas try again what they could not load before
        failed, _ = wait(context, service, target, state)
        if failed:
            raise Invalid(f"{service} revision {target} cannot be loaded: {failed}; revision {now.main} goes on")
        with context.database.session() as session:  # else it would count as deployed anew (see ``line_of``)
            leave(session, context, service, {target}, f"goes back to revision {target}")
        return _move(context, service, target, f"rolled back from revision {now.main}")


def undeploy(context: Context, service: str) -> Undeployed:
    """Take the service's traffic away; calls to it get 404 from now on."""
    with context.turns.of(service):
        with context.database.session() as session:
            now = standings(session, service)[service]
            if not now.is_deployed:
                return Undeployed(service=service, changed=False, message=f"{service} was not deployed", replicas=0)
            end(session, context, service, "undeployed")
            number = state_number.bump(session)
        pushed = context.pusher.push(number)
    return Undeployed(
        service=service,
        changed=True,
        message=f"{service} takes no calls any more; deploying it again brings it back",
        replicas=len(pushed.reports),
        silent=pushed.silent,
    )


def _unchanged(context: Context, drafted: planning.Draft) -> Deployed | None:
    """The answer when the current revision is this very document already, and no replica fails to load it."""
    service = drafted.spec.service
    overview = context.pusher.overview()
    with context.database.reading() as session:
        now = standing(session, service)
        if now.main is None:
            return None
        row = session.get_one(RevisionRow, (service, now.main))
        is_split = len(now.weights) > 1
        if row.digest != drafted.digest or is_split or (overview and overview.failures(service, [row.number])):
            return None
    return _deployed(
        row,
        changed=False,
        message=f"{service} is at revision {row.number} already, which is this document; nothing was changed",
        weights=_as_text(now.weights),
        replicas=len(overview.reports) if overview else 0,
    )


def _take_back(context: Context, drafted: planning.Draft, why: str, traffic: bool) -> Deployed | None:
    """All traffic, or none yet, to an earlier revision that is this very document; None where none can be loaded now.

    Replicas load it at 0 % first, which also says that it comes anew (see ``line_of``).
    """
    service = drafted.spec.service
    with context.database.reading() as session:
        number = _earlier(session, context, drafted, standing(session, service))
    if number is None:
        return None
    try:
        ready(context, service, {number}, why, anew=True)
    except (Invalid, Unavailable, Timeout):
        return None
    done = _move(context, service, number, why) if traffic else _held(context, service, number)
    return replace(done, message=f"{service} takes revision {number} back, which is this document; {done.message}")


def _earlier(session: Session, context: Context, drafted: planning.Draft, now: Standing) -> int | None:
    """The newest revision of this document that has served, could be loaded, and has its artifacts still."""
    rows = session.scalars(
        select(RevisionRow)
        .where(RevisionRow.service == drafted.spec.service, RevisionRow.digest == drafted.digest)
        .order_by(RevisionRow.number.desc())
    )
    for row in rows:
        is_whole = all(context.store.has(digest) for digest in Layout.from_json(row.layout).digests)
        is_other = row.number != now.main or len(now.weights) > 1
        if row.number in now.named and row.number in now.good and is_other and is_whole:
            for ref in drafted.graph.refs:
                aliases.resolve(session, ref)  # one that was removed meanwhile is refused
            return row.number
    return None


def _store(context: Context, drafted: planning.Draft, planned: planning.Planned, why: str) -> tuple[int, int]:
    """The revision's number, and that of the state in which replicas prepare it."""
    name = drafted.spec.service
    with context.database.session() as session:
        for ref in drafted.graph.refs:
            aliases.resolve(session, ref)  # one that was removed meanwhile is refused
        service = session.get(ServiceRow, name)
        if service is None:
            session.add(ServiceRow(name=name, account=context.account, created_at=context.clock.now()))
            session.flush()
        _check_own(session, context, name)  # its name may have been taken meanwhile
        for data in planned.artifacts.values():
            context.store.put(data)
        number = next_number(session, name)
        session.add(
            RevisionRow(
                service=name,
                number=number,
                digest=drafted.digest,
                document=dict(drafted.document),
                layout=planned.layout.to_json(),
                explanation=planned.explanation.to_json(),
                error=None,
                created_at=context.clock.now(),
            )
        )
        context.turns.note(session, name, {STORED: number, "why": why})  # no why: it asked for no traffic
        return number, state_number.bump(session)


def _check_own(session: Session, context: Context, service: str) -> None:
    row = session.get(ServiceRow, service)
    if row is not None and not is_own(context, row.account):
        raise Conflict(f"service {service} belongs to another account; choose another name")


def _check_loaded(context: Context, service: str, number: int, state: int) -> None:
    """Raises, with the reason on record, unless every live replica that answers has loaded the revision."""
    try:
        failed, pushed = wait(context, service, number, state)
        failed = failed or (killed(context, service, number) if pushed.silent or not pushed.reports else "")
        if failed:
            raise Invalid(f"{service} revision {number} could not be loaded: {failed}")
        wrong = unheard(pushed, f"{service} revision {number}")
        if wrong is not None:
            raise wrong
    except BaseException as error:
        with context.database.session() as session:
            session.get_one(RevisionRow, (service, number)).error = str(error) or type(error).__name__
            state = state_number.bump(session)
            main = standing(session, service).main
        context.pusher.push(state)
        if isinstance(error, Invalid | Unavailable | Timeout):
            goes_on = f"; revision {main} goes on" if main else "; nothing is deployed"
            raise type(error)(f"{error.message}{goes_on}", error.field, error.retry_after_s) from error
        raise


def _held(context: Context, service: str, revision: int) -> Deployed:
    """What stands when the revision is loaded and takes no more calls than before."""
    with context.database.reading() as session:
        row, now = session.get_one(RevisionRow, (service, revision)), standing(session, service)
    overview = context.pusher.overview()
    share = now.weights.get(revision, 0.0)
    more = "" if share else f"; give it some with: {name_split(service, now, revision)}"
    return _deployed(
        row,
        message=f"revision {revision} of {service} is loaded and takes {share:g} % of its traffic{more}",
        weights=_as_text(now.weights),
        replicas=overview.ready(service, [revision]) if overview else 0,
    )


def _move(context: Context, service: str, revision: int, why: str) -> Deployed:
    with context.database.reading() as session:
        row = session.get_one(RevisionRow, (service, revision))
    pushed = shift(context, service, Aim({revision: ALL_PERCENT}), why)
    return _deployed(
        row,
        message=f"all traffic of {service} goes to revision {revision}",
        weights={str(revision): 100.0},
        replicas=len(pushed.reports),
        silent=pushed.silent,
    )


def _deployed(row: RevisionRow, *, changed: bool = True, **rest: Any) -> Deployed:
    plan, why = row.layout["plan"], row.explanation["why"]
    return Deployed(service=row.service, revision=row.number, plan=plan, why=why, changed=changed, **rest)


def _as_text(weights: Mapping[int, float]) -> dict[str, float]:
    return {str(number): share for number, share in weights.items()}
