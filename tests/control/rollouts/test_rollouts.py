"""Rollouts against replicas that really load, with calls that are made up: what moves traffic, and what keeps it."""

from dataclasses import replace

import pytest

from aimass.control import deploy as deploying
from aimass.control.context import Context
from aimass.control.rollouts import verbs
from aimass.control.rollouts.showing import show
from aimass.database.feedback_tables import FeedbackSumRow
from aimass.database.rollout_tables import RolloutLookRow
from aimass.gateway.metrics import Snapshot
from aimass.testing.desk import service_document
from aimass.testing.rollouts.stage import NEW, OLD, SERVICE, Stage


def test_a_healthy_revision_takes_one_step_after_the_other_and_then_all(stage: Stage) -> None:
    said = stage.begin()
    assert said == "revision 2 of twice takes 10 % of the calls; errors, latency, cost on guard"
    assert stage.weights == [{OLD: 90.0, NEW: 10.0}] * 2
    found = stage.look(20)
    assert (found["state"], found["share"]) == ("promoted", 100.0)
    assert [(move["state"], move["share"]) for move in found["moves"]] == [
        ("running", 10.0), ("holding", 10.0), ("running", 50.0), ("holding", 50.0), ("promoted", 100.0),
    ]  # fmt: skip
    assert stage.weights == [{NEW: 100.0}] * 2
    assert {item["verdict"] for item in found["moves"][-1]["evidence"]} == {"fine"}


def test_a_step_lasts_its_time_and_has_its_requests(stage: Stage) -> None:
    stage.begin(guards=(), least_s=5.0, least_requests=300)
    assert stage.look(4)["share"] == 10.0
    assert stage.look(1)["share"] == 50.0
    stage.desk.clock.advance(60.0)
    assert stage.look(1, calls=10)["share"] == 50.0, "time alone is not enough"


def test_a_revision_whose_calls_fail_is_returned_with_the_evidence(stage: Stage) -> None:
    stage.begin()
    found = stage.look(5, failed=50)
    assert (found["state"], found["share"], found["step"]) == ("returned", 0.0, 0)
    assert stage.weights == [{OLD: 100.0}] * 2
    assert "errors: 50.00%" in found["why"]
    assert "evidence" in found["why"]
    (errors,) = (item for item in found["moves"][-1]["evidence"] if item["guard"] == "errors")
    assert (errors["verdict"], errors["candidate"]["bad"] / errors["candidate"]["all"]) == ("failed", 0.5)
    assert errors["evidence"] >= errors["needed"] == pytest.approx(60)
    assert len(found["moves"]) <= 3
    assert found["moves"][-1]["at"] - found["started_at"] <= 5.0


@pytest.mark.parametrize("guard", ["latency", "cost"])
def test_a_slow_revision_is_returned(stage: Stage, guard: str) -> None:
    stage.begin(guards=(guard,))
    found = stage.look(8, seconds=0.02)
    assert (found["state"], found["why"].partition(":")[0]) == ("returned", guard)


def test_what_was_returned_takes_no_traffic_by_itself(stage: Stage) -> None:
    stage.begin()
    stage.look(5, failed=50)
    stage.look(50)
    assert stage.shown["state"] == "returned"
    assert stage.weights == [{OLD: 100.0}] * 2


def test_while_it_is_not_clear_it_holds_and_then_goes_on(stage: Stage) -> None:
    stage.begin(least_s=10.0)
    held = stage.look(3, failed=1)
    assert held["why"].startswith("inconclusive: errors: 1.00% (3 of 300) calls that failed")
    assert (held["state"], held["share"]) == ("holding", 10.0)
    assert stage.look(1, calls=10)["state"] == "holding"
    found = stage.look(20)
    assert [(move["state"], move["share"]) for move in found["moves"]][1:4] == [
        ("holding", 10.0), ("running", 10.0), ("running", 50.0),
    ]  # fmt: skip


def test_a_guard_without_data_holds_and_says_so(stage: Stage) -> None:
    stage.begin(guards=("errors", "cost"), least_requests=3)
    found = stage.look(6, calls=4)  # two of them make one that is worth comparing
    assert (found["state"], found["share"]) == ("holding", 10.0)
    assert found["why"] == "too little data for cost"
    assert stage.look(10)["share"] > 10.0


def test_a_paused_rollout_stays_and_its_guards_watch_on(stage: Stage) -> None:
    stage.begin()
    said = verbs.pause(stage.desk.context, SERVICE, "lunch").message
    assert said == "revision 2 of twice stays at 10 %, with its guards; go on: aimass resume twice"
    assert stage.look(30)["state"] == "paused"
    assert stage.shown["why"] == "lunch"
    verbs.resume(stage.desk.context, SERVICE)
    assert stage.look(1)["share"] == 50.0
    verbs.pause(stage.desk.context, SERVICE)
    assert stage.look(8, failed=50)["state"] == "returned"


def test_promote_and_abort_take_effect_at_once(stage: Stage) -> None:
    stage.begin()
    assert verbs.abort(stage.desk.context, SERVICE, "no").weights == {"1": 100.0}
    assert stage.weights == [{OLD: 100.0}] * 2
    assert (stage.shown["state"], stage.shown["why"]) == ("aborted", "no")
    stage.begin()
    assert verbs.promote(stage.desk.context, SERVICE).weights == {"2": 100.0}
    assert stage.weights == [{NEW: 100.0}] * 2
    assert [item["state"] for item in stage.shown["earlier"]] == ["aborted"]


def test_two_rollbacks_after_a_rollout_walk_back(stage: Stage) -> None:
    three = service_document(stage.desk.register("double", 4.0), SERVICE)
    stage.begin()
    stage.look(20)
    deploying.deploy(stage.desk.context, three)
    assert deploying.rollback(stage.desk.context, SERVICE).revision == NEW
    assert deploying.rollback(stage.desk.context, SERVICE).revision == OLD


def test_a_rollback_ends_a_rollout(stage: Stage) -> None:
    stage.begin()
    assert deploying.rollback(stage.desk.context, SERVICE).weights == {"1": 100.0}
    found = stage.look(1)
    assert found["state"] == "aborted"
    assert found["why"].startswith("traffic was moved otherwise: rolled back")
    assert stage.weights == [{OLD: 100.0}] * 2


def test_another_process_goes_on_where_one_died(stage: Stage) -> None:
    """Every look by a reconciler of its own comes to what one alone comes to."""
    stage.begin(guards=("errors",))
    for _ in range(30):
        stage.change_leader()
        stage.look(1, failed=4)
        if stage.shown["state"] == "returned":
            break
    assert stage.shown["state"] == "returned"


def test_counts_that_are_lost_begin_anew_and_accuse_nobody(stage: Stage) -> None:
    stage.begin()
    stage.look(2)
    stage.desk.pusher.counts = Snapshot()
    found = stage.look(3)
    assert found["state"] in ("running", "holding", "promoted")
    errors = next(item for item in found["guards"] if item["guard"] == "errors")
    assert (errors["candidate"]["bad"], errors["verdict"]) == (0, "fine")


def test_while_nobody_can_be_asked_nothing_is_decided(stage: Stage) -> None:
    stage.begin()
    stage.desk.pusher.is_away = True
    stage.look(5, failed=100)
    stage.desk.pusher.is_away = False
    assert stage.shown["state"] == "running"


def test_a_revision_that_a_replica_cannot_load_any_more_is_returned(stage: Stage) -> None:
    stage.begin()
    stage.desk.pusher.replicas[0].failed[f"{SERVICE}/{NEW}"] = "no disk"
    found = stage.look(1)
    assert (found["state"], found["why"]) == ("returned", "a replica cannot load it: no disk")


def test_the_page_gets_every_look_thinned_out(stage: Stage) -> None:
    stage.begin(least_s=1e6)
    stage.look(30)
    looks = show(stage.desk.context, SERVICE, looks=True)["looks"]
    assert 10 <= len(looks) <= 30
    assert [item["at"] for item in looks] == sorted(item["at"] for item in looks)


@pytest.mark.slow
def test_a_pause_of_days_is_few_looks(stage: Stage) -> None:
    stage.begin()
    verbs.pause(stage.desk.context, SERVICE)
    for _ in range(3000):
        stage.desk.clock.advance(60.0)
        stage.rollouts.look()
    with stage.desk.context.database.reading() as session:
        kept = session.query(RolloutLookRow).count()
    assert 600 < kept < 2500
    assert len(show(stage.desk.context, SERVICE, looks=True)["looks"]) <= 600
    assert stage.shown["guards"], "the last look is shown, kept or not"


def test_who_did_it_is_on_record(stage: Stage) -> None:
    person: Context = replace(stage.desk.context, who="ada")
    stage.begin()
    verbs.abort(person, SERVICE)
    assert [move["who"] for move in stage.shown["moves"]] == ["aimass", "ada"]


def test_what_a_shadow_says_and_labels_say_is_watched_where_there_is_some(stage: Stage) -> None:
    counts = stage.desk.pusher.counts
    shadow = (SERVICE, str(OLD), str(NEW))

    def compare(rows: float, agreed: float) -> None:
        for event, times in (("labelled_rows", rows), ("agreed_rows", agreed)):
            counts.shadows[(*shadow, event, "")] = counts.shadows.get((*shadow, event, ""), 0.0) + times

    compare(500, 495)
    label(stage, OLD, 200, 190)
    assert stage.begin().endswith("errors, latency, cost, agreement, quality on guard")
    for _ in range(3):
        compare(200, 100)
        found = stage.look(1)
    assert (found["state"], found["why"].partition(":")[0]) == ("returned", "agreement")
    stage.begin(guards=("quality",))
    for hour in range(1, 9):
        label(stage, OLD, 200, 190, hour)
        label(stage, NEW, 200, 100, hour)
        found = stage.look(1)
    assert (found["state"], found["why"].partition(":")[0]) == ("returned", "quality")


def label(stage: Stage, revision: int, labelled: int, right: int, hour: int = 0) -> None:
    """Feedback that came for answers of one hour."""
    with stage.desk.context.database.session() as session:
        row = FeedbackSumRow(service=SERVICE, revision=revision, hour=hour * 3600, labelled=labelled, right=right)
        row.rewards, row.reward_total, row.reward_square = 0, 0.0, 0.0
        session.add(row)
