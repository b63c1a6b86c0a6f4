"""Traffic that moves by itself: steps by the clock, a bandit by its rewards, and nobody's hand is overruled."""

from collections.abc import Mapping

import pytest

from aimass.control import deploy as verbs
from aimass.control.leases.lease import LEADER, LEASE_S, Lease
from aimass.control.traffic.following import Following
from aimass.control.traffic.splitting import Wish, show, split
from aimass.database.feedback_tables import FeedbackSumRow
from aimass.testing.desk import Desk
from aimass.testing.desk import service_document as service
from aimass.testing.rollouts.stage import lead

STEPS = {"steps": [1, 5, 25, 100], "every_s": 60}


@pytest.fixture
def following(desk: Desk) -> Following:
    for factor in (3.0, 5.0):
        verbs.deploy(desk.context, service(desk.register("times", factor)))
    verbs.rollback(desk.context, "twice")
    return Following(desk.context, lead(desk))


def weights(desk: Desk) -> Mapping[int, float]:
    return {number: share for number, share in desk.pusher.replicas[0].state.services[0].weights.items() if share}


def reward(desk: Desk, revision: int, count: int, total: float, square: float | None = None) -> None:
    with desk.context.database.session() as session:
        hour = int(desk.clock.now() // 3600 * 3600)
        sums = {"rewards": count, "reward_total": total, "reward_square": total if square is None else square}
        session.merge(FeedbackSumRow(service="twice", revision=revision, hour=hour, labelled=0, right=0, **sums))


def test_steps_follow_the_clock_to_the_end(desk: Desk, following: Following) -> None:
    split(desk.context, "twice", Wish({"2": 100}, "steps", STEPS))
    seen = [weights(desk)]
    for _ in range(5):
        assert following.keep() == []
        desk.clock.advance(60)
        following.keep()
        seen.append(weights(desk))
    shares = [item.get(2) for item in seen]
    assert shares == [1, 5, 25, 100, 100, 100]
    found = show(desk.context, "twice")
    assert [move["weights"].get("2") for move in found["moves"][:4]] == [100, 25, 5, 1]
    assert verbs.rollback(desk.context, "twice").revision == 1


def test_steps_that_nobody_looked_at_for_a_while_are_caught_up(desk: Desk, following: Following) -> None:
    split(desk.context, "twice", Wish({"2": 100}, "steps", STEPS, "key"))
    desk.clock.advance(130)
    assert following.keep() == ["twice"]
    assert weights(desk) == {1: 75, 2: 25}
    assert desk.pusher.replicas[0].state.services[0].traffic.options["by"] == "key"


def test_who_moves_traffic_by_hand_ends_what_moves_by_itself(desk: Desk, following: Following) -> None:
    split(desk.context, "twice", Wish({"2": 100}, "steps", STEPS))
    split(desk.context, "twice", Wish({"1": 90, "2": 10}))
    desk.clock.advance(1000)
    assert following.keep() == []
    assert weights(desk) == {1: 90, 2: 10}


def test_traffic_waits_while_somebody_changes_the_service(desk: Desk, following: Following) -> None:
    split(desk.context, "twice", Wish({"2": 100}, "steps", STEPS))
    desk.clock.advance(60)
    with desk.context.turns.of("twice"):
        assert following.keep() == []
    assert following.keep() == ["twice"]


def test_who_has_lost_the_lease_moves_nothing(desk: Desk, following: Following) -> None:
    split(desk.context, "twice", Wish({"2": 100}, "steps", STEPS))
    desk.clock.advance(60)
    other = Lease(desk.context.database, LEADER, desk.clock)
    assert not other.keep()
    desk.clock.advance(LEASE_S)
    assert other.keep()
    assert following.keep() == []
    assert weights(desk) == {1: 99, 2: 1}
    assert Following(desk.context, other).keep() == ["twice"]


def test_a_bandit_follows_its_rewards_in_moves_that_can_be_read(desk: Desk, following: Following) -> None:
    split(desk.context, "twice", Wish({"1": 80, "2": 20}, "thompson", {"least": 50, "floor": 2}))
    reward(desk, 1, 200, 20)
    assert following.keep() == []
    assert weights(desk) == {1: 80, 2: 20}
    reward(desk, 2, 60, 30)
    assert following.keep() == ["twice"]
    assert weights(desk) == pytest.approx({1: 2, 2: 98})
    reward(desk, 2, 61, 31)
    assert following.keep() == [], "a change below one per cent is no move"
    assert [move["why"] for move in show(desk.context, "twice")["moves"]][:2] == [
        "thompson went on by itself",
        "split by hand",
    ]


def test_rewards_that_a_bandit_cannot_understand_are_said_and_move_nothing(desk: Desk, following: Following) -> None:
    split(desk.context, "twice", Wish({"1": 80, "2": 20}, "thompson"))
    for revision in (1, 2):
        reward(desk, revision, 100, 700.0, 6000.0)
    assert following.keep() == following.keep() == []
    found = show(desk.context, "twice")
    assert "posterior=normal" in found["stuck"]
    assert weights(desk) == {1: 80, 2: 20}


def test_an_undeployed_service_moves_no_more(desk: Desk, following: Following) -> None:
    split(desk.context, "twice", Wish({"2": 100}, "steps", STEPS))
    verbs.undeploy(desk.context, "twice")
    desk.clock.advance(1000)
    assert following.keep() == []
