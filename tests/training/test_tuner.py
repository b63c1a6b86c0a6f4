"""Trials through Ray Tune: repeatable by seed, forgiving of single failures, honest about budgets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimass.core.errors import Invalid
from aimass.data.sources import load_bundled
from aimass.data.split import folds
from aimass.training.evaluation import METRICS
from aimass.training.experiment import Candidate, Experiment, Sampling, TrainingRows, Trial
from aimass.training.fitting import out_of_fold
from aimass.training.space import Choice, Fixed, Range
from aimass.training.tuner import run_trials

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

IRIS = load_bundled("iris")
ROWS = TrainingRows(IRIS.rows, IRIS.labels, folds(IRIS, 3, 0))
LINEAR = Candidate("logistic_regression", "standard_scale", {"C": Range(0.01, 10, log=True)})
FOREST = Candidate("random_forest", "", {"n_estimators": Range(2, 12), "max_depth": Choice((1, None))})


def experiment(candidates: dict[str, Candidate], trials: int | None, seconds: float | None = None) -> Experiment:
    return Experiment(candidates, "log_loss", Sampling("tpe", 2, 5), 3, trials, seconds)


def test_same_seed_same_trials(tmp_path: Path) -> None:
    def run(name: str) -> list[Trial]:
        return run_trials(
            experiment({"linear": LINEAR, "forest": FOREST}, 8), ROWS, tmp_path / name, lambda event: None
        )

    first, second = run("first"), run("second")
    assert [trial.number for trial in first] == list(range(8))
    assert [trial.candidate for trial in first] == ["linear", "forest"] * 4
    for ours, theirs in zip(first, second, strict=True):
        assert ours.configuration == theirs.configuration
        assert (ours.score, ours.metrics) == (theirs.score, theirs.metrics)
        assert ours.predictions.tobytes() == theirs.predictions.tobytes()


def test_a_trial_is_what_it_says(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    (trial,) = run_trials(experiment({"forest": FOREST}, 1), ROWS, tmp_path, events.append)
    np.testing.assert_array_equal(
        trial.predictions, out_of_fold(trial.configuration, IRIS.rows, IRIS.labels, ROWS.folds)
    )
    assert trial.score == -METRICS["log_loss"].value(IRIS.labels, trial.predictions) == -trial.metrics["log_loss"]
    assert [(event["kind"], event["number"], event["candidate"]) for event in events] == [("trial", 0, "forest")]


def test_a_trial_that_fails_is_told_and_left_out(tmp_path: Path) -> None:
    """scikit-learn takes a precomputed kernel for a good parameter, and then finds that rows are no kernel."""
    mixed = Candidate("svm", "", {"kernel": Choice(("linear", "precomputed"))})
    events: list[dict[str, Any]] = []
    trials = run_trials(experiment({"svm": mixed}, 6), ROWS, tmp_path, events.append)
    failed = [event for event in events if event["kind"] == "trial_failed"]
    assert {trial.configuration.parameters["kernel"] for trial in trials} == {"linear"}
    assert {event["parameters"]["kernel"] for event in failed} == {"precomputed"}
    assert len(failed) + len(trials) == 6
    assert "square" in failed[0]["error"]


def test_no_trial_that_ends_well_is_an_error(tmp_path: Path) -> None:
    broken = Candidate("svm", "", {"kernel": Fixed("precomputed")})
    with pytest.raises(Invalid, match="no trial ended with a score; the first failed with"):
        run_trials(experiment({"svm": broken}, 2), ROWS, tmp_path, lambda event: None)


def test_a_budget_in_seconds_ends(tmp_path: Path) -> None:
    assert run_trials(experiment({"linear": LINEAR}, None, seconds=4), ROWS, tmp_path, lambda event: None)
