"""Traffic split between revisions: who takes what, what is refused, and that nothing moves before it is loaded."""

import shutil
from collections import Counter
from typing import Any

import pytest

from aimass.control import deploy as verbs
from aimass.control.revisions.standing import standings
from aimass.control.traffic.splitting import Split, Wish, show, split
from aimass.core.errors import AimassError, Conflict, Invalid, NotFound, Timeout, Unavailable
from aimass.database.tables import AsideMoveRow, RevisionRow
from aimass.gateway.state import GatewayState
from aimass.serving.traffic.cut import Cut
from aimass.testing.desk import Desk
from aimass.testing.desk import service_document as service


def deployed(desk: Desk, *factors: float) -> None:
    """Revisions 1, 2, …, each of which has taken all traffic when the next came."""
    for factor in factors:
        verbs.deploy(desk.context, service(desk.register("times", factor)))


def to(desk: Desk, **rest: Any) -> Split:
    weights = {name.removeprefix("r"): value for name, value in rest.items() if name[1:].isdecimal()}
    rest = {name: value for name, value in rest.items() if not name[1:].isdecimal()}
    return split(desk.context, "twice", Wish(weights, **rest))


def took(desk: Desk, replica: int = 0) -> Counter[int]:
    """Of a thousand callers, by the state of a replica; all of a revision that it has loaded."""
    here = desk.pusher.replicas[replica]
    found = here.state.services[0]
    if not found.traffic.pieces:
        return Counter()
    cut = Cut(found.traffic.pieces, found.name)
    assert {("twice", number) for number in cut.shares} <= here.plans.keys()
    return Counter(cut.choose(f"user-{number}") for number in range(1000))


def main_of(desk: Desk) -> int | None:
    with desk.context.database.reading() as session:
        return standings(session, "twice")["twice"].main


def test_a_split_is_in_force_in_every_replica_when_it_is_back(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0)
    done = to(desk, r1=95, r2=5.0, why="a first look")
    assert (done.weights, done.policy, done.replicas, done.silent) == ({"1": 95.0, "2": 5.0}, "weighted", 2, ())
    assert "revision 1: 95 %, revision 2: 5 %" in done.message
    for replica in (0, 1):
        assert 930 < took(desk, replica)[1] < 970
    found = show(desk.context, "twice")
    assert (found["weights"], found["moves"][0]["why"]) == ({"1": 95.0, "2": 5.0}, "a first look")
    assert found["moves"][0]["who"] == desk.context.who
    assert len(found["moves"]) == 3


def test_raising_a_weight_moves_callers_only_toward_it(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0, 7.0)
    seen: list[dict[str, int]] = []
    stages: list[dict[str, float]] = [
        {"r1": 60, "r2": 30, "r3": 10},
        {"r1": 40, "r2": 50, "r3": 10},
        {"r2": 70, "r3": 30},
    ]
    for stage in stages:
        to(desk, sticky="header:x-user", **stage)
        state = desk.pusher.replicas[0].state.services[0]
        cut = Cut(state.traffic.pieces, "twice")
        seen.append({f"user-{number}": cut.choose(f"user-{number}") for number in range(3000)})
    for caller in seen[0]:
        assert seen[1][caller] in (seen[0][caller], 2), "only revision 2 grew"
        assert seen[2][caller] == seen[1][caller] or seen[1][caller] == 1, "only revision 1 shrank"


def test_a_revision_that_was_let_go_is_loaded_before_it_takes_calls(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0, 7.0, 9.0)
    assert ("twice", 1) not in desk.pusher.replicas[0].plans
    to(desk, r4=50, r1=50)
    assert took(desk).keys() == {1, 4}
    moves = show(desk.context, "twice")["moves"]
    assert [m["weights"] for m in moves[:2]] == [{"1": 50.0, "4": 50.0}, {"1": 0.0, "4": 100.0}]
    assert moves[1]["why"] == "readies revision 1: split by hand"


def test_a_revision_without_traffic_is_held_ready_until_it_gets_some(desk: Desk) -> None:
    deployed(desk, 3.0)
    done = verbs.deploy(desk.context, service(desk.register("times", 5.0)), traffic=False)
    assert (done.revision, done.changed, done.weights) == (2, True, {"1": 100.0})
    assert "takes 0 % of its traffic" in done.message
    assert desk.answer("twice") == (1, 3.0)
    assert ("twice", 2) in desk.pusher.replicas[0].plans
    assert show(desk.context, "twice")["held_ready"] == [2]
    again = verbs.deploy(desk.context, service("times@2"), traffic=False)
    assert (again.revision, desk.answer("twice")) == (2, (1, 3.0))
    to(desk, r1=90, r2=10)
    assert took(desk).keys() == {1, 2}
    verbs.deploy(desk.context, service("times@2"))
    assert desk.answer("twice") == (2, 5.0)


def test_a_first_revision_may_be_held_ready_too(desk: Desk) -> None:
    verbs.deploy(desk.context, service(desk.register("times", 3.0)), traffic=False)
    assert took(desk) == {}
    to(desk, r1=100)
    assert desk.answer("twice") == (1, 3.0)


def test_a_revision_at_no_per_cent_is_held_ready(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0, 7.0)
    to(desk, r3=100, r1=0)
    assert took(desk).keys() == {3}
    assert ("twice", 1) in desk.pusher.replicas[0].plans
    to(desk, r3=100)
    assert ("twice", 1) not in desk.pusher.replicas[0].plans


def test_a_revision_that_cannot_be_loaded_any_more_takes_nothing_and_the_reason_is_said(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0, 7.0)
    _break(desk, 1)
    with pytest.raises(Invalid, match=r"revision 1 cannot be loaded: .*; traffic stays where it is"):
        to(desk, r3=95, r1=5)
    assert took(desk).keys() == {3}
    found = show(desk.context, "twice")
    assert (found["weights"], found["held_ready"]) == ({"3": 100.0}, [])
    assert found["moves"][0]["why"].startswith("leaves revision 1 again: twice revision 1 cannot be loaded")


def test_a_revision_that_never_loaded_takes_nothing_and_its_reason_is_said(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0)
    with desk.context.database.session() as session:
        session.get_one(RevisionRow, ("twice", 1)).error = "it had no legs"
    with pytest.raises(Invalid, match="twice revision 1 never takes traffic: it had no legs"):
        to(desk, r2=95, r1=5)


def test_a_revision_that_was_put_aside_takes_nothing(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0)
    with desk.context.database.session() as session:
        session.add(AsideMoveRow(service="twice", revision=1, is_aside=True, who="test", why="it killed two", at=1.0))
    with pytest.raises(Invalid, match="twice revision 1 was put aside: it killed two"):
        to(desk, r2=95, r1=5)


@pytest.mark.parametrize(
    ("weights", "kind", "said"),
    [
        ({"1": 90, "2": 5}, Invalid, "weights add up to 95, not to 100: 1=90, 2=5"),
        ({"1": 110, "2": -10}, Invalid, "weights must be per cents from 0 to 100, not 1=110, 2=-10"),
        ({"1": "many", "2": 5}, Invalid, "the weight of revision 1 must be a number, not 'many'"),
        ({"1": float("nan"), "2": 100}, Invalid, "per cents from 0 to 100"),
        ({"1": True, "2": 99}, Invalid, "the weight of revision 1 must be a number, not True"),
        ({"1": 99.9999, "2": 0.0001}, Invalid, "the weight of revision 2 must be 0 or from 0.001 on, not 0.0001"),
        ({"one": 100}, Invalid, "a revision is a number from 1 on, not 'one'"),
        ({"0": 100}, Invalid, "a revision is a number from 1 on, not '0'"),
        ({"1": 50, "01": 50}, Invalid, "revision 1 is named twice"),
        ({}, Invalid, "no revision is named"),
        ({"1": 95, "9": 5}, NotFound, "service twice has no revision 9; there is: 1, 2"),
    ],
)
def test_weights_that_cannot_be_are_refused_and_nothing_moves(
    desk: Desk, weights: dict[str, Any], kind: type[AimassError], said: str
) -> None:
    deployed(desk, 3.0, 5.0)
    number = desk.pusher.replicas[0].state.number
    with pytest.raises(kind) as caught:
        split(desk.context, "twice", Wish(weights))
    assert said in str(caught.value)
    assert desk.answer("twice") == (2, 5.0)
    assert desk.pusher.replicas[0].state.number == number


def test_a_service_that_is_not_there_or_takes_no_calls_is_said(desk: Desk) -> None:
    with pytest.raises(NotFound, match="no service is named 'twice'"):
        to(desk, r1=100)
    deployed(desk, 3.0)
    verbs.undeploy(desk.context, "twice")
    with pytest.raises(Conflict, match="twice is not deployed; deploy it"):
        to(desk, r1=100)


def test_a_policy_that_is_not_known_and_options_that_make_no_sense_are_refused(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0)
    with pytest.raises(Invalid, match="unknown 'coin'"):
        to(desk, r1=50, r2=50, policy="coin")
    with pytest.raises(Invalid, match="no option 'sides'"):
        to(desk, r1=50, r2=50, options={"sides": 2})
    with pytest.raises(Invalid, match="header:NAME, field:NAME or key, not by 'cookie'"):
        to(desk, r1=50, r2=50, sticky="cookie")
    assert desk.answer("twice") == (2, 5.0)


def test_silent_replicas_are_named_and_nobody_else_waits(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0)
    desk.pusher.silent = {"replica-1"}
    done = to(desk, r1=95, r2=5)
    assert (done.replicas, done.silent) == (1, ("replica-1",))
    desk.pusher.silent = {"replica-0", "replica-1"}
    with pytest.raises(Timeout, match="no replica has loaded twice revision 3"):
        with desk.context.database.session() as session:
            row = session.get_one(RevisionRow, ("twice", 2))
            kept = {name: getattr(row, name) for name in ("service", "digest", "document", "layout", "explanation")}
            session.add(RevisionRow(**kept, number=3, created_at=1.0))
        to(desk, r1=95, r3=5)
    desk.pusher.silent, desk.pusher.is_away = set(), True
    with pytest.raises(Unavailable, match="nobody can say whether replicas are ready"):
        to(desk, r1=95, r3=5)
    assert to(desk, r1=50, r2=50).replicas == 0, "what is loaded already moves, and is pulled later"


def test_a_rollback_out_of_a_split_takes_the_newcomer_away_then_walks_back(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0)
    verbs.deploy(desk.context, service(desk.register("times", 7.0)), traffic=False)
    to(desk, r2=95, r3=5)
    assert show(desk.context, "twice")["rolls_back_to"] == 2
    mains = [verbs.rollback(desk.context, "twice").revision for _ in range(2)]
    assert mains == [2, 1]
    with pytest.raises(Conflict, match="no revision before 1"):
        verbs.rollback(desk.context, "twice")


def test_a_rollback_from_a_revision_that_took_over_by_steps_leads_to_the_one_before(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0)
    verbs.deploy(desk.context, service(desk.register("times", 7.0)), traffic=False)
    for new in (5, 60, 100):
        to(desk, **({"r2": 100 - new} if new < 100 else {}), r3=new)
    assert main_of(desk) == 3
    assert [verbs.rollback(desk.context, "twice").revision for _ in range(2)] == [2, 1]


def test_rollbacks_do_not_swing_to_a_revision_that_is_held_ready(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0, 7.0)
    to(desk, r3=100, r2=0)
    assert [verbs.rollback(desk.context, "twice").revision for _ in range(2)] == [2, 1]


def test_who_is_held_ready_stays_so_while_another_comes(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0, 7.0)
    to(desk, r3=100, r1=0)
    verbs.deploy(desk.context, service(desk.register("times", 9.0)), traffic=False)
    assert show(desk.context, "twice")["held_ready"] == [1, 4]


def test_deploying_the_revision_that_has_most_of_a_split_gives_it_all(desk: Desk) -> None:
    deployed(desk, 3.0, 5.0)
    to(desk, r1=95, r2=5)
    done = verbs.deploy(desk.context, service("times@1"))
    assert (done.revision, done.changed, done.weights) == (1, True, {"1": 100.0})
    assert verbs.deploy(desk.context, service("times@1")).changed is False


def test_an_older_state_file_still_loads(desk: Desk) -> None:
    deployed(desk, 3.0)
    data = desk.pusher.replicas[0].state.to_json()
    for item in data["services"]:
        del item["traffic"]
    found = GatewayState.from_json(data)
    assert found.services[0].traffic.policy == "weighted"
    assert found.services[0].weights == {1: 100.0}


def _break(desk: Desk, revision: int) -> None:
    """Its artifacts are gone from store and cache."""
    with desk.context.database.reading() as session:
        layout = session.get_one(RevisionRow, ("twice", revision)).layout
    shutil.rmtree(desk.settings.home.cache)
    for digest in (file for node in layout["nodes"] for file in node["files"].values()):
        path = desk.settings.home.artifacts / digest[:2] / digest[2:]
        path.unlink()
