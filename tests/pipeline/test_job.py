"""The job around a run: its row tells what happened, whatever happened."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from aimass.database.tables import RunRow, VersionRow
from aimass.pipeline import job, run
from aimass.pipeline.job import CANCELLED, FAILED, SUCCEEDED, main
from tests.pipeline.conftest import RECIPE, Finished, Place, run_trials_here


@contextmanager
def _no_ray() -> Iterator[None]:
    yield


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch, trials_here: None) -> None:
    monkeypatch.setattr(job, "_ray", _no_ray)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def rows(place: Place) -> dict[str, RunRow]:
    with place.database.reading() as session:
        return {row.id: row for row in session.scalars(select(RunRow))}


@pytest.mark.usefixtures("without_ray")
def test_a_queued_run(place: Place, recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(recipe, "run-1", place.settings) == SUCCEEDED
    row = rows(place)["run-1"]
    assert (row.status, row.error) == ("succeeded", None)
    assert row.started_at is not None
    assert row.finished_at is not None
    said = capsys.readouterr().out
    assert "selected ensemble" in said
    assert "trial 6 forest" in said
    folder = place.settings.home.runs / "run-1"
    assert (folder / "recipe.yaml").read_text() == RECIPE
    events = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert [event["number"] for event in events if event["kind"] == "trial"] == list(range(6))
    assert main(recipe, "run-1", place.settings) == FAILED
    assert "succeeded already" in capsys.readouterr().out


def test_a_bad_recipe_by_hand_is_a_failed_run(place: Place, recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.write_text(RECIPE.replace("seed: 4", "sead: 4"))
    assert main(recipe, None, place.settings) == FAILED
    (run_id,) = rows(place).keys() - {"run-1"}
    row = rows(place)[run_id]
    assert (row.status, row.recipe) == ("failed", "plants")
    assert row.error is not None
    assert ":12: sead: unknown key" in row.error
    assert row.error in capsys.readouterr().out.replace("\n", "")


def test_neither_yaml_nor_run(place: Place, recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(recipe, "run-7", place.settings) == FAILED
    assert "no run 'run-7'" in capsys.readouterr().out
    recipe.write_text("recipe: [")
    assert main(recipe, "run-1", place.settings) == FAILED
    assert main(recipe.parent / "gone.yaml", None, place.settings) == FAILED
    assert set(rows(place)) == {"run-1"}


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels(place: Place, recipe: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    def stopped(*args: Any) -> None:
        try:
            os.kill(os.getpid(), number)
        except BaseException as error:  # as Ray's compiled code does
            raise SystemError("returned a result with an exception set") from error

    monkeypatch.setattr(job, "run_recipe", stopped)
    before = signal.getsignal(number)
    assert main(recipe, "run-1", place.settings) == CANCELLED
    assert rows(place)["run-1"].status == "cancelled"
    assert signal.getsignal(number) == before


@pytest.mark.usefixtures("without_ray")
def test_a_bug_is_on_record_and_comes_through(place: Place, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(job, "run_recipe", broken)
    with pytest.raises(ZeroDivisionError):
        main(recipe, "run-1", place.settings)
    row = rows(place)["run-1"]
    assert (row.status, row.error) == ("failed", "ZeroDivisionError: oh")


def test_no_ray_is_started_for_a_run(
    place: Place, recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be open to the network."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert main(recipe, None, place.settings) == FAILED
    assert "aimass train" in capsys.readouterr().out
    assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()


@pytest.mark.ray
def test_by_hand_through_ray(place: Place, recipe: Path, finished: Finished) -> None:
    """No run id: a run of its own on the Ray that is here, with the very result of trials one by one."""
    import ray

    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    try:
        assert main(recipe, None, place.settings) == SUCCEEDED
    finally:
        ray.shutdown()
    (run_id,) = rows(place).keys() - {"run-1"}
    row = rows(place)[run_id]
    assert (row.status, row.recipe) == ("succeeded", "plants")
    assert row.report is not None
    for part in ("contestants", "selection", "confusion", "versions"):
        assert row.report[part] == finished.result.report[part]


@pytest.mark.usefixtures("without_ray")
def test_a_signal_that_was_swallowed_is_heeded_before_registering(
    place: Place, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(*args: Any) -> list[Any]:
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), signal.SIGTERM)
        return run_trials_here(*args)

    monkeypatch.setattr(run, "run_trials", careless)
    assert main(recipe, "run-1", place.settings) == CANCELLED
    with place.database.reading() as session:
        assert session.scalars(select(VersionRow)).all() == []
