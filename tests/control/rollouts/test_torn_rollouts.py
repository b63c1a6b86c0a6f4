"""A rollout that cannot be watched, whatever of it is torn: it is told, can be ended, and keeps nobody off the rest."""

import logging

import pytest
from sqlalchemy import text

from aimass.cli.services import say_failures
from aimass.cli.traffic.rollout import title
from aimass.control import deploy as deploying
from aimass.control import services, status
from aimass.control.revisions.standing import standings
from aimass.control.rollouts import verbs
from aimass.control.rollouts.record import newest
from aimass.control.rollouts.showing import show
from aimass.control.rollouts.starting import Wish, start
from aimass.core.errors import Conflict, Invalid
from aimass.database.rollout_tables import RolloutMemoryRow, RolloutRow
from aimass.monitoring.guards.base import Tally, Trials
from aimass.monitoring.guards.errors import ErrorsGuard
from aimass.testing.desk import service_document
from aimass.testing.rollouts.calls import count_calls
from aimass.testing.rollouts.stage import NEW, OLD, SERVICE, Stage

OTHER = "twice-too"
UNREADABLE = [
    "{}",  # another shape
    '{"steps": [10.0, 100.0',  # cut off
    "null",
    '["steps"]',
    '{"steps": [90.0, 10.0], "guards": [], "tolerances": {}, "least_requests": 1, "least_s": 0, "bound_s": null}',
    '{"steps": [10.0, 100.0], "guards": [], "tolerances": {}, "least_requests": 1, "bound_s": null, "newer": 1}',
]


class BreakingGuard(ErrorsGuard):
    """A plug-in with a mistake."""

    def _trials(self, baseline: Tally, candidate: Tally) -> tuple[Trials, Trials]:
        del baseline
        if candidate.answered == 50:
            raise ZeroDivisionError
        return Trials(), Trials(0.0, candidate.answered)


@pytest.fixture
def two(stage: Stage) -> Stage:
    """Beside the stage's service, which is at 10 %, another like it, after it, and in a rollout too."""
    stage.begin()
    for factor in (3.0, 4.0):
        deploying.deploy(stage.desk.context, service_document(stage.desk.register("double", factor), OTHER))
    deploying.rollback(stage.desk.context, OTHER)
    wish = Wish((10.0, 100.0), guards=("errors",), least_requests=50, least_s=2.0)
    start(stage.desk.context, OTHER, NEW, wish)
    return stage


def look_at_other(stage: Stage) -> None:
    """Three looks, after which the second service's rollout has returned its revision."""
    for _ in range(3):
        stage.desk.clock.advance(1.0)
        count_calls(stage.desk.pusher.counts, OTHER, OLD, 900)
        count_calls(stage.desk.pusher.counts, OTHER, NEW, 50, 50)
        stage.rollouts.look()
    with stage.desk.context.database.reading() as session:
        found = newest(session, OTHER)
    assert found
    assert found.state == "returned"


def tear(stage: Stage, table: str, column: str, document: str) -> None:
    """What lies in the database of the first service's rollout, whoever wrote it."""
    key = "id" if table == "rollouts" else "rollout"
    with stage.desk.context.database.session() as session:
        session.execute(text(f"update {table} set {column} = :document where {key} = 1"), {"document": document})


def weights(stage: Stage) -> dict[int, float]:
    with stage.desk.context.database.reading() as session:
        return dict(standings(session, SERVICE)[SERVICE].weights)


@pytest.mark.parametrize("document", UNREADABLE)
def test_a_plan_that_cannot_be_read_concerns_its_own_service_alone(
    two: Stage, document: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tear(two, "rollouts", "plan", document)
    for found in (services.list_services(two.desk.context), status.status(two.desk.context)["services"]):
        say_failures(found)
        mine, others = capsys.readouterr().out.splitlines()
        assert mine.startswith(
            "twice revision 2: a rollout is running at 10 %, and nobody can watch it: the plan of the rollout of "
            "twice/2 cannot be read from the database ("
        )
        assert others == "twice-too revision 2: a rollout is running at 10 %"
    look_at_other(two)
    shown = two.shown
    assert (shown["state"], shown["share"], shown["plan"]) == ("holding", 10.0, None)
    assert shown["why"].startswith("nobody can watch it: the plan of the rollout of twice/2 cannot be read")
    assert shown["why"].endswith("with aimass abort twice, and begin again: aimass rollout twice 2")
    assert len(shown["moves"]) == 2, "it is said once"
    assert title(shown) == "twice: revision 2 beside revision 1, steps unknown %, now 10 %"
    assert weights(two) == {OLD: 90.0, NEW: 10.0}
    with pytest.raises(Conflict, match=r"is being rolled out \(holding at 10 %\); end that first"):
        deploying.deploy(two.desk.context, service_document("double@1", SERVICE))


def test_a_rollout_without_a_plan_is_paused_and_aborted_and_not_promoted(two: Stage) -> None:
    tear(two, "rollouts", "plan", "{")
    with pytest.raises(Invalid, match=r"the plan of the rollout of twice/2 cannot be read .*aimass abort twice"):
        verbs.promote(two.desk.context, SERVICE)
    assert weights(two) == {OLD: 90.0, NEW: 10.0}
    verbs.pause(two.desk.context, SERVICE)
    look_at_other(two)
    assert two.shown["state"] == "paused"
    assert verbs.abort(two.desk.context, SERVICE).weights == {str(OLD): 100.0}
    assert weights(two) == {OLD: 100.0}
    start(two.desk.context, SERVICE, NEW, Wish(guards=()))
    assert [item["state"] for item in two.shown["earlier"]] == ["aborted"]


def test_a_rollout_without_a_plan_is_ended_by_a_rollback(two: Stage) -> None:
    tear(two, "rollouts", "plan", "{")
    deploying.rollback(two.desk.context, SERVICE)
    look_at_other(two)
    assert (two.shown["state"], weights(two)) == ("aborted", {OLD: 100.0})


@pytest.mark.parametrize("column", ["counted", "guards", "evidence"])
@pytest.mark.parametrize("document", ["{}", '{"errors": ', "null"])
def test_a_memory_that_cannot_be_read_holds_its_own_rollout(two: Stage, column: str, document: str) -> None:
    tear(two, "rollout_memories", column, document)
    look_at_other(two)
    if column == "evidence" and document != '{"errors": ':
        assert two.shown["state"] == "running", "what was said before is written over by what is said now"
        return
    assert (two.shown["state"], two.shown["share"]) == ("holding", 10.0)
    assert two.shown["why"].startswith("nobody can watch it: the memory of the rollout of twice/2 cannot be read")
    assert verbs.abort(two.desk.context, SERVICE).weights == {str(OLD): 100.0}


def test_no_memory_at_all_holds_it_too(two: Stage) -> None:
    with two.desk.context.database.session() as session:
        session.delete(session.get_one(RolloutMemoryRow, 1))
    look_at_other(two)
    assert two.shown["why"].startswith("nobody can watch it: the memory of the rollout of twice/2 cannot be read")
    verbs.abort(two.desk.context, SERVICE)
    assert show(two.desk.context, SERVICE)["guards"] == []


def test_evidence_that_cannot_be_read_keeps_nobody_from_ending_it(two: Stage) -> None:
    tear(two, "rollout_moves", "evidence", "[")
    two.desk.clock.advance(1.0)
    two.rollouts.look()
    assert verbs.abort(two.desk.context, SERVICE).weights == {str(OLD): 100.0}
    assert weights(two) == {OLD: 100.0}


@pytest.mark.parametrize("table", ["rollout_moves", "rollout_looks"])
@pytest.mark.parametrize("document", ["[", '{"guard": "errors"}', "null"])
def test_evidence_that_cannot_be_read_is_shown_as_none(stage: Stage, table: str, document: str) -> None:
    stage.begin(guards=("errors",), least_requests=50, least_s=2.0)
    stage.look(6, calls=50)
    whole = show(stage.desk.context, SERVICE, looks=True)
    told = {"rollout_moves": ("moves", "evidence"), "rollout_looks": ("looks", "guards")}
    many, word = told[table]
    assert whole["state"] == "promoted" and whole[many][-1][word] and len(whole["looks"]) > 2
    tear(stage, table, "evidence", document)
    torn = show(stage.desk.context, SERVICE, looks=True)
    assert torn == {**whole, many: [{**item, word: []} for item in whole[many]]}, "the rest as before"


def test_a_state_of_a_newer_version_holds_its_own_rollout(two: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    tear(two, "rollout_moves", "state", "resting")
    why = (
        "nobody can watch it: the state of the rollout of twice/2 cannot be read from the database (ValueError: "
        "'resting' is unknown here); give its traffic back with aimass abort twice"
    )
    say_failures(services.list_services(two.desk.context))
    assert f"twice revision 2: a rollout is holding at 10 %, and {why}" in capsys.readouterr().out
    look_at_other(two)
    assert (two.shown["state"], weights(two)) == ("holding", {OLD: 90.0, NEW: 10.0})
    with pytest.raises(Invalid, match="the state of the rollout of twice/2 cannot be read"):
        verbs.promote(two.desk.context, SERVICE)
    assert verbs.abort(two.desk.context, SERVICE).weights == {str(OLD): 100.0}
    assert two.shown["torn"] == ""


def test_a_rollout_that_cannot_even_be_read_keeps_nobody_from_the_others(
    two: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    tear(two, "rollout_moves", "at", "never")
    look_at_other(two)
    assert {record.getMessage() for record in caplog.records if record.exc_info} == {"the rollout of twice/2"}
    assert weights(two) == {OLD: 90.0, NEW: 10.0}


def set_guard(stage: Stage, guard: str) -> None:
    with stage.desk.context.database.session() as session:
        row = session.get_one(RolloutRow, 1)
        row.plan = {**row.plan, "guards": [guard]}


def test_a_guard_that_is_gone_holds_its_rollout_and_no_other(two: Stage) -> None:
    set_guard(two, "aimass_gone:Guard")
    look_at_other(two)
    assert (two.shown["state"], two.shown["share"]) == ("holding", 10.0)
    assert two.shown["why"] == "nobody can watch it: 'aimass_gone:Guard' needs the package 'aimass_gone'; " + (
        "install it and try again"
    )
    assert len(two.shown["moves"]) == 2
    verbs.abort(two.desk.context, SERVICE)
    assert weights(two) == {OLD: 100.0}


def test_a_guard_that_breaks_keeps_nobody_from_the_others(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    name = f"{__name__}:{BreakingGuard.__name__}"
    stage.begin(guards=(name,), least_requests=1)
    stage.look(1, calls=50)
    assert next((record.levelno, record.getMessage()) for record in caplog.records if record.exc_info) == (
        logging.ERROR,
        "the rollout of twice/2",
    )
    assert stage.shown["state"] == "running"
    stage.look(1, calls=7)
    assert [item["guard"] for item in stage.shown["guards"]] == [name], "what breaks once is looked at again"
