"""What a person may do to a rollout that goes on."""

from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.pushing import Pushed
from aimass.control.revisions.standing import standings
from aimass.control.rollouts.driving import is_split, move_to, moved_otherwise
from aimass.control.rollouts.record import ACTIVE, Rollout, State, add_move, last_said, newest
from aimass.control.rollouts.showing import Done, done
from aimass.core.errors import Conflict

_DONE = {State.RUNNING: "resumed"}  # where what was done is another word than what holds now


def promote(context: Context, service: str, why: str = "") -> Done:
    """All traffic to the candidate at once, whatever the guards say."""
    return _change(context, service, State.PROMOTED, why, "revision {revision} takes all traffic of {service}")


def abort(context: Context, service: str, why: str = "") -> Done:
    """All traffic back to the baseline."""
    said = "the rollout is over; revision {baseline} takes all traffic of {service} again"
    return _change(context, service, State.ABORTED, why, said)


def pause(context: Context, service: str, why: str = "") -> Done:
    """Stay at the step; a guard that fails returns it all the same."""
    said = "revision {revision} of {service} stays at {share} %, with its guards; go on: aimass resume {service}"
    return _change(context, service, State.PAUSED, why, said)


def resume(context: Context, service: str, why: str = "") -> Done:
    """Go on from a pause."""
    return _change(context, service, State.RUNNING, why, "revision {revision} of {service} goes on from {share} %")


def _change(context: Context, service: str, state: State, why: str, said: str) -> Done:
    pushed = Pushed()
    with context.turns.of(service):
        with context.database.session() as session:
            now = standings(session, service)[service]  # an unknown service is said to be one
            before = _going(session, service)
            if not is_split(now, before):
                raise Conflict(
                    f"the rollout of {service} is over: {moved_otherwise(session, service)}; nothing was changed"
                )
            if state is State.RUNNING and before.state is not State.PAUSED:
                raise Conflict(f"the rollout of {service} is not paused; pause it with: aimass pause {service}")
            if state is before.state:
                raise Conflict(f"the rollout of {service} is paused already; go on: aimass resume {service}")
            step = len(before.plan.steps) - 1 if state is State.PROMOTED else before.step
            after = before.turn(state, step)
            told = (context.who, why or f"{_DONE.get(state, state)} by {context.who}", context.clock.now())
            add_move(session, before.id, (state, step, after.share), told, last_said(session, before.id))
            number = move_to(session, context, after, told[1]) if after.share != before.share else 0
        if number:
            pushed = context.pusher.push(number)
    shown = {"revision": after.revision, "baseline": after.baseline, "service": service, "share": f"{after.share:g}"}
    return done(after, said.format(**shown), pushed)


def _going(session: Session, service: str) -> Rollout:
    found = newest(session, service)
    if found is None or found.state not in ACTIVE:
        how = "" if found is None else f" (the last one was {found.state})"
        raise Conflict(f"no rollout of {service} goes on{how}; start one: aimass rollout {service} REVISION")
    return found
