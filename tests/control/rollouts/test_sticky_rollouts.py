"""Callers that stick to their revision stick through a rollout: a step moves some of them to the candidate, an end that
returns it moves just those back."""

from itertools import pairwise

import pytest

from aimass.control.revisions.standing import standings
from aimass.control.rollouts import verbs
from aimass.control.traffic.splitting import Wish, split
from aimass.serving.traffic.cut import Cut
from aimass.testing.rollouts.stage import NEW, OLD, SERVICE, Stage

CALLERS = [f"user-{number}" for number in range(2000)]
BY = {"by": "header:x-user"}


@pytest.fixture
def sticky(stage: Stage) -> Stage:
    """The stage, whose callers stick by a header."""
    split(stage.desk.context, SERVICE, Wish({str(OLD): 100}, sticky=BY["by"], why="they come again"))
    return stage


def of_candidate(stage: Stage) -> set[str]:
    """The callers that the candidate has in every replica."""
    found = []
    for replica in stage.desk.pusher.replicas:
        (service,) = replica.state.services
        assert (service.traffic.policy, service.traffic.options) == ("sticky", BY)
        cut = Cut(service.traffic.pieces, SERVICE)
        found.append({caller for caller in CALLERS if cut.choose(caller) == NEW})
    assert found[0] == found[1]
    return found[0]


def test_each_step_moves_callers_to_the_candidate_alone(sticky: Stage) -> None:
    sticky.begin((5.0, 10.0, 30.0, 60.0, 100.0), guards=())
    seen = [of_candidate(sticky)]
    shares = [5.0]
    while sticky.look(1)["state"] == "running":
        if sticky.shown["share"] > shares[-1]:
            shares.append(sticky.shown["share"])
            seen.append(of_candidate(sticky))
    seen.append(of_candidate(sticky))
    assert shares == [5.0, 10.0, 30.0, 60.0]
    for before, after in pairwise(seen):
        assert before < after
    for share, callers in zip(shares, seen, strict=False):
        assert len(callers) / len(CALLERS) == pytest.approx(share / 100, abs=0.03)
    assert seen[-1] == set(CALLERS)
    with sticky.desk.context.database.reading() as session:
        now = standings(session, SERVICE)[SERVICE]
    assert (now.policy, now.options, dict(now.weights)) == ("sticky", BY, {NEW: 100.0})


def test_who_came_to_it_comes_back_alone_and_comes_again_the_next_time(sticky: Stage) -> None:
    sticky.begin((20.0, 100.0))
    first = of_candidate(sticky)
    assert sticky.look(5, failed=50)["state"] == "returned"
    assert of_candidate(sticky) == set()
    sticky.begin((20.0, 100.0))
    assert of_candidate(sticky) == first, "no caller meets two revisions more than he must"
    verbs.abort(sticky.desk.context, SERVICE)
    assert of_candidate(sticky) == set()
