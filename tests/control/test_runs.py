"""Runs as verbs, with jobs that only pretend: refused, submitted, followed, cancelled, found dead."""

import shlex

import pytest

from aimass.control import runs
from aimass.core.errors import Conflict, DocumentError, Invalid, NotFound, Unavailable
from aimass.database.tables import RunRow
from aimass.testing.desk import Desk

RECIPE = """\
recipe: irises
data: {source: iris}
candidates:
  linear: {trainer: logistic_regression, space: {C: 1.0}}
budget: {trials: 2}
"""


def say(desk: Desk, run_id: str, status: str) -> None:
    """What the job itself writes."""
    with desk.context.database.session() as session:
        session.get_one(RunRow, run_id).status = status


def test_a_recipe_becomes_a_job_with_its_folder(desk: Desk) -> None:
    run = runs.submit(desk.context, RECIPE)
    assert (run["status"], run["recipe"], run["recipe_text"]) == ("queued", "irises", RECIPE)
    home = desk.settings.home
    assert (home.runs / run["id"] / "recipe.yaml").read_text() == RECIPE
    words = shlex.split(desk.jobs.entrypoints[run["job"]])
    assert words[:2] == ["cd", str(home.path.parent)]
    assert words[words.index("-m") :][:3] == ["-m", "aimass", "run"]
    assert words[words.index("--run-id") + 1] == run["id"]
    assert desk.jobs.env[run["job"]] == {"AIMASS_HOME": str(home.path)}


def test_a_run_works_where_it_is_told(desk: Desk) -> None:
    folder = desk.settings.home.path / "it's here"
    folder.mkdir()
    run = runs.submit(desk.context, RECIPE, str(folder))
    assert shlex.split(desk.jobs.entrypoints[run["id"]])[1] == str(folder)
    for wrong in ("relative", str(folder / "missing")):
        with pytest.raises(Invalid, match="no absolute folder"):
            runs.submit(desk.context, RECIPE, wrong)


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        (RECIPE + "colour: blue\n", 6, "colour"),
        (RECIPE.replace("source: iris", "source: lilies"), 2, "data"),
        (RECIPE.replace("logistic_regression", "magic"), 4, "candidates.linear.trainer"),
    ],
)
def test_a_bad_recipe_is_refused_by_line_and_field_before_anything_runs(
    desk: Desk, text: str, line: int, field: str
) -> None:
    with pytest.raises(DocumentError, match=f"recipe.yaml:{line}: ") as caught:
        runs.submit(desk.context, text)
    assert caught.value.field.startswith(field)
    assert runs.list_runs(desk.context) == []
    assert not desk.settings.home.runs.exists()


def test_a_run_whose_job_died_is_marked_when_somebody_looks(desk: Desk) -> None:
    lost = runs.submit(desk.context, RECIPE)["id"]
    say(desk, lost, "running")
    assert runs.list_runs(desk.context)[0]["status"] == "running"
    desk.jobs.statuses[lost] = "FAILED"
    assert runs.list_runs(desk.context)[0]["status"] == "failed"
    assert "died" in runs.show(desk.context, lost)["error"]
    assert runs.show(desk.context, lost)["finished_at"] == desk.clock.now()


def test_a_run_of_a_platform_that_was_stopped_is_marked_but_not_one_on_its_way(desk: Desk) -> None:
    run_id = runs.submit(desk.context, RECIPE)["id"]
    desk.jobs.statuses.clear()
    assert runs.show(desk.context, run_id)["status"] == "queued", "it may be on its way to Ray"
    desk.jobs.is_down = True
    desk.clock.advance(1000)
    assert runs.show(desk.context, run_id)["status"] == "queued", "nobody could be asked"
    desk.jobs.is_down = False
    assert runs.show(desk.context, run_id)["status"] == "failed"


def test_what_the_job_said_last_counts(desk: Desk) -> None:
    run_id = runs.submit(desk.context, RECIPE)["id"]
    say(desk, run_id, "succeeded")
    desk.jobs.statuses[run_id] = "FAILED"
    assert runs.show(desk.context, run_id)["status"] == "succeeded"


def test_a_job_that_cannot_be_submitted_leaves_a_failed_run(desk: Desk) -> None:
    desk.jobs.is_down = True
    with pytest.raises(Unavailable):
        runs.submit(desk.context, RECIPE)
    (run,) = runs.list_runs(desk.context)
    assert (run["status"], run["error"]) == ("failed", "no job API here")


def test_cancel_stops_the_job_once(desk: Desk) -> None:
    run_id = runs.submit(desk.context, RECIPE)["id"]
    assert runs.cancel(desk.context, run_id)["status"] == "cancelled"
    assert desk.jobs.statuses[run_id] == "STOPPED"
    with pytest.raises(Conflict, match="not running"):
        runs.cancel(desk.context, run_id)
    with pytest.raises(NotFound, match="run-none"):
        runs.cancel(desk.context, "run-none")


def test_logs_follow_until_the_job_has_told_its_report(desk: Desk) -> None:
    """The run is over before its job has printed what it scored."""
    run_id = runs.submit(desk.context, RECIPE)["id"]
    log = desk.settings.home.runs / run_id / "output.log"
    assert b"".join(runs.logs(desk.context, run_id, follow=False)) == b""
    later = iter(["one", "two", "", "report", "end"])

    def wait() -> None:
        line = next(later)
        if not line:
            with desk.context.database.session() as session:
                row = session.get_one(RunRow, run_id)
                row.status, row.finished_at = "succeeded", desk.context.clock.now()
        elif line == "end":
            desk.jobs.statuses[run_id] = "SUCCEEDED"
        else:
            with log.open("a") as file:
                file.write(f"{line}\n")

    assert b"".join(runs.logs(desk.context, run_id, follow=True, wait=wait)) == b"one\ntwo\nreport\n"


def test_logs_do_not_wait_for_ever_for_a_job_that_does_not_end(desk: Desk) -> None:
    run_id = runs.submit(desk.context, RECIPE)["id"]
    with desk.context.database.session() as session:
        row = session.get_one(RunRow, run_id)
        row.status, row.finished_at = "succeeded", desk.context.clock.now() - 60
    assert b"".join(runs.logs(desk.context, run_id, follow=True)) == b""


def test_a_report_is_there_or_said_not_to_be(desk: Desk) -> None:
    run_id = runs.submit(desk.context, RECIPE)["id"]
    with pytest.raises(NotFound, match="has no report; it is queued"):
        runs.report(desk.context, run_id)
    (desk.settings.home.runs / run_id / "report.html").write_text("<p>fine")
    assert runs.report(desk.context, run_id) == "<p>fine"
