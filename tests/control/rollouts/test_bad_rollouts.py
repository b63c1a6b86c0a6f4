"""What cannot be rolled out, each said in one sentence, and nothing has moved."""

from typing import Any

import pytest

from aimass.control import deploy as deploying
from aimass.control.rollouts import verbs
from aimass.control.rollouts.showing import show
from aimass.control.rollouts.starting import Wish, start
from aimass.control.traffic.moving import Aim, move
from aimass.core.errors import AimassError, Conflict, Invalid, NotFound, Unavailable
from aimass.database.tables import RevisionRow
from aimass.testing.desk import service_document
from aimass.testing.rollouts.stage import NEW, OLD, SERVICE, Stage


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((5.0, 1.0, 100.0), "each step must be above the one before, not 5,1,100"),
        ((1.0, 1.0, 100.0), "each step must be above the one before, not 1,1,100"),
        ((1.0, 50.0), "the last step must be 100, not 50; pause or abort a rollout to stop below"),
        ((0.0, 100.0), "steps are per cents above 0 and up to 100, not 0,100"),
        ((-1.0, 100.0), "steps are per cents above 0 and up to 100, not -1,100"),
        ((float("nan"), 100.0), "steps are per cents above 0 and up to 100, not nan,100"),
        ((50.0, 101.0), "steps are per cents above 0 and up to 100, not 50,101"),
        ((), "a rollout has 1 to 20 steps, not 0"),
        ((100.0,), "one step of 100 leaves nothing to compare with"),
    ],
)
def test_steps_that_make_no_sense(stage: Stage, steps: tuple[float, ...], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        stage.begin(steps)
    assert stage.weights == [{OLD: 100.0}] * 2


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (
            {"guards": ("quality",)},
            "guard quality has nothing to go by: twice has no labels yet; send feedback for its",
        ),
        (
            {"guards": ("agreement",)},
            "guard agreement has nothing to go by: twice has no rows compared by a shadow yet; begin one: "
            "aimass shadow twice 2 --share 10, or leave it out",
        ),
        ({"tolerances": {"quality": 0.1}}, "guard quality has nothing to go by"),
        ({"guards": ("errors",), "tolerances": {"cost": 0.1}}, "guard cost is given a tolerance and is not asked for"),
        ({"guards": ("taste",)}, "unknown 'taste'; known: agreement, cost, errors, latency, quality"),
        ({"guards": ("errors", "errors")}, "a guard is named twice: errors, errors"),
        ({"tolerances": {"errors": 2.0}}, "guard errors tolerates a share between 0 and 1, not 2"),
        ({"least_requests": 0}, "a step needs 1 request or more, not 0"),
        ({"least_s": -1.0}, "a step lasts 0 seconds or more, not -1"),
    ],
)
def test_plans_that_make_no_sense(stage: Stage, wish: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        stage.begin(**wish)
    assert stage.weights == [{OLD: 100.0}] * 2


def begin(stage: Stage, revision: int, service: str = SERVICE) -> str:
    return start(stage.desk.context, service, revision, Wish(guards=())).message


def test_what_is_live_already(stage: Stage) -> None:
    with pytest.raises(Conflict, match="twice revision 1 has all traffic already; there is nothing to roll out"):
        begin(stage, OLD)


def test_two_at_once(stage: Stage) -> None:
    stage.begin()
    with pytest.raises(
        Conflict, match=r"revision 2 is being rolled out \(running at 10 %\); end that first: aimass prom"
    ):
        stage.begin()


def test_a_revision_or_a_service_that_is_not_there(stage: Stage) -> None:
    with pytest.raises(NotFound, match="twice has no revision 9; there is: 1, 2"):
        begin(stage, 9)
    with pytest.raises(NotFound, match="no service is named 'thrice'"):
        begin(stage, 2, "thrice")


def test_a_service_that_is_not_deployed(stage: Stage) -> None:
    deploying.undeploy(stage.desk.context, SERVICE)
    with pytest.raises(Conflict, match="twice is not deployed; deploy it"):
        begin(stage, NEW)


def test_a_revision_that_failed_to_load_never_takes_traffic(stage: Stage) -> None:
    with stage.desk.context.database.session() as session:
        session.get_one(RevisionRow, (SERVICE, NEW)).error = "its model is torn"
    with pytest.raises(Invalid, match="twice revision 2 never takes traffic: its model is torn"):
        begin(stage, NEW)


def test_a_revision_that_cannot_be_loaded_now(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    deploying.deploy(stage.desk.context, service_document(stage.desk.register("double", 4.0), SERVICE))
    replica = stage.desk.pusher.replicas[0]
    torn = replica.report()
    report = type(torn)(torn.replica, 1, "here", torn.number, failed={f"{SERVICE}/{OLD}": "no disk"})
    replica.plans.pop((SERVICE, OLD), None)
    monkeypatch.setattr(replica, "report", lambda: report)
    with pytest.raises(Invalid, match="twice revision 1 cannot be loaded: no disk"):
        begin(stage, OLD)
    with pytest.raises(NotFound, match="has had no rollout"):
        show(stage.desk.context, SERVICE)


def test_a_service_that_is_split(stage: Stage) -> None:
    move(stage.desk.context, SERVICE, Aim({OLD: 60.0, NEW: 40.0}), "by hand")
    with pytest.raises(Conflict, match=r"twice is split .*; first: aimass traffic twice 1=100"):
        begin(stage, NEW)


def test_nobody_would_watch(stage: Stage) -> None:
    stage.desk.pusher.is_away = True
    with pytest.raises(Unavailable, match="the reconciler does not answer, so nobody would watch the rollout"):
        begin(stage, NEW)


def test_traffic_is_not_moved_by_hand_meanwhile(stage: Stage) -> None:
    stage.begin()
    refused = r"end that first: aimass promote twice, or aimass abort twice"
    with pytest.raises(Conflict, match=refused):
        deploying.deploy(stage.desk.context, service_document(stage.desk.register("double", 4.0), SERVICE))
    with pytest.raises(Conflict, match=refused):
        move(stage.desk.context, SERVICE, Aim({OLD: 60.0, NEW: 40.0}), "by hand")
    assert stage.weights == [{OLD: 90.0, NEW: 10.0}] * 2


def test_verbs_without_a_rollout_that_goes_on(stage: Stage) -> None:
    for verb in (verbs.promote, verbs.pause, verbs.resume, verbs.abort):
        with pytest.raises(Conflict, match="no rollout of twice goes on; start one: aimass rollout twice REVISION"):
            verb(stage.desk.context, SERVICE)
    with pytest.raises(NotFound, match="twice has had no rollout"):
        show(stage.desk.context, SERVICE)
    stage.begin()
    with pytest.raises(Conflict, match="is not paused; pause it with"):
        verbs.resume(stage.desk.context, SERVICE)
    verbs.pause(stage.desk.context, SERVICE)
    with pytest.raises(Conflict, match="is paused already"):
        verbs.pause(stage.desk.context, SERVICE)
    verbs.abort(stage.desk.context, SERVICE)
    with pytest.raises(AimassError, match=r"\(the last one was aborted\)"):
        verbs.promote(stage.desk.context, SERVICE)
