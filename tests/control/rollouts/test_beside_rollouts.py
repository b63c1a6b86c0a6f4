"""What else happens to a service while a rollout of it goes on: nothing is undone, forgotten, or done by two."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from aimass.control import deploy as deploying
from aimass.control.context import Context
from aimass.control.leases.holder import me
from aimass.control.leases.turns import READIED, Turns
from aimass.control.pushing import Pushed
from aimass.control.reconciling.repair import repair
from aimass.control.revisions.standing import Standing, standings
from aimass.control.rollouts import verbs
from aimass.control.traffic.moving import ready
from aimass.core.errors import Conflict, Unavailable
from aimass.gateway.metrics import Snapshot
from aimass.testing.desk import service_document
from aimass.testing.rollouts.stage import NEW, OLD, SERVICE, Stage

THIRD = 3


def hold_ready(stage: Stage, context: Context | None = None) -> None:
    """``aimass deploy --no-traffic`` of a third revision."""
    document = service_document(stage.desk.register("double", 4.0), SERVICE)
    deploying.deploy(context or stage.desk.context, document, traffic=False)


def now(stage: Stage) -> Standing:
    with stage.desk.context.database.reading() as session:
        return standings(session, SERVICE)[SERVICE]


def after_waits(stage: Stage, monkeypatch: pytest.MonkeyPatch, waits: int, then: Callable[[], Pushed]) -> None:
    """That wait for replicas, counted from 1, is ``then`` instead."""
    real, left = stage.desk.pusher.await_loaded, [waits]

    def await_loaded(number: int, timeout_s: float) -> Pushed:
        left[0] -= 1
        return then() if left[0] == 0 else real(number, timeout_s)

    monkeypatch.setattr(stage.desk.pusher, "await_loaded", await_loaded)


def test_a_deploy_that_fails_meanwhile_gives_a_returned_revision_nothing_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.begin()

    def returned_meanwhile() -> Pushed:
        assert stage.look(5, failed=50)["state"] == "returned"
        return Pushed(is_away=True)

    after_waits(stage, monkeypatch, 2, returned_meanwhile)
    with pytest.raises(Unavailable, match="the reconciler does not answer"):
        hold_ready(stage)
    assert (now(stage).weights, now(stage).readied) == ({OLD: 100.0}, frozenset())
    stage.desk.pusher.push(0)
    assert stage.weights == [{OLD: 100.0}] * 2


def test_a_failing_deploy_lets_go_only_what_it_had_readied(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_ready(stage)
    after_waits(stage, monkeypatch, 1, lambda: Pushed(is_away=True))
    with stage.desk.context.turns.of(SERVICE), pytest.raises(Unavailable):
        ready(stage.desk.context, SERVICE, {NEW, THIRD}, "both", anew=True)
    assert now(stage).readied == {THIRD}


@pytest.mark.parametrize("end", [verbs.promote, verbs.abort])
def test_what_is_held_ready_stays_so_at_every_step(stage: Stage, end: Callable[[Context, str], object]) -> None:
    stage.begin(guards=())
    hold_ready(stage)
    assert stage.look(3)["share"] == 50.0
    assert (now(stage).weights, now(stage).readied) == ({OLD: 50.0, NEW: 50.0}, frozenset({THIRD}))
    end(stage.desk.context, SERVICE)
    assert now(stage).readied == {THIRD}
    assert all((SERVICE, THIRD) in replica.plans for replica in stage.desk.pusher.replicas)


def test_a_step_leaves_the_note_of_a_deploy_whose_process_dies(stage: Stage) -> None:
    stage.begin(guards=())
    hold_ready(stage)
    context = stage.desk.context
    died = Turns(context.database, context.clock, replace(me(), start_ticks=1)).of(SERVICE)
    died.__enter__()  # and never ends
    with context.database.session() as session:
        context.turns.note(session, SERVICE, {READIED: [THIRD]})
    assert stage.look(3)["share"] == 50.0
    overview = stage.desk.pusher.overview()
    assert overview
    (said,) = repair(context, stage.lease, overview)
    assert "leaves revision 3 again" in said
    assert (now(stage).weights, now(stage).readied) == ({OLD: 50.0, NEW: 50.0}, frozenset())


def test_who_has_lost_the_lease_does_not_count_anew_what_was_counted(stage: Stage) -> None:
    stage.begin(guards=("errors",), least_s=1e6)
    stage.look(1)
    stale = stage.rollouts
    stage.change_leader()
    seen = stage.look(1, failed=2)["guards"]
    counts, stage.desk.pusher.counts = stage.desk.pusher.counts, Snapshot()
    stage.desk.clock.advance(1.0)
    stale.look()
    stage.desk.pusher.counts = counts
    stage.desk.clock.advance(1.0)
    stage.rollouts.look()
    assert stage.shown["guards"] == seen


@pytest.mark.parametrize("verb", [verbs.promote, verbs.abort, verbs.pause])
@pytest.mark.parametrize("otherwise", [deploying.undeploy, deploying.rollback])
def test_who_moved_traffic_otherwise_has_ended_it(
    stage: Stage, otherwise: Callable[[Context, str], object], verb: Callable[[Context, str], object]
) -> None:
    stage.begin()
    otherwise(stage.desk.context, SERVICE)
    before = now(stage)
    with pytest.raises(
        Conflict, match=r"the rollout of twice is over: traffic was moved otherwise: (undeployed|rolled)"
    ):
        verb(stage.desk.context, SERVICE)
    assert now(stage) == before
    stage.rollouts.look()
    assert stage.shown["state"] == "running", "not looked at twice within half a second"
    stage.desk.clock.advance(1.0)
    stage.rollouts.look()
    assert stage.shown["state"] == "aborted"
    assert now(stage) == before
