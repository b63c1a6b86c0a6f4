"""A finished run to look at, and the trials without Ray that make it quick."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from aimass.core.clock import ManualClock
from aimass.core.documents import Document
from aimass.core.ids import DEFAULT_ACCOUNT
from aimass.core.settings import Settings
from aimass.database.engine import Database, open_database
from aimass.database.migrate import migrate
from aimass.database.tables import AccountRow, RunRow
from aimass.pipeline import run
from aimass.pipeline.run import RunResult, run_recipe
from aimass.training.evaluation import METRICS, find_metric
from aimass.training.experiment import Experiment, Progress, TrainingRows, Trial
from aimass.training.fitting import out_of_fold
from aimass.training.search import RoundRobinSearch

RECIPE = """\
recipe: plants
data: {source: wine}
input: measures
split: {test: 0.25, folds: 3}
transforms: {scale: standard_scale}
candidates:
  linear: {trainer: logistic_regression, transform: scale, space: {C: {from: 0.05, to: 5.0, scale: log}}}
  forest: {trainer: random_forest, space: {n_estimators: {from: 5, to: 20}}}
score: log_loss
ensemble: {rounds: 25}
budget: {trials: 6}
seed: 4
"""


def run_trials_here(experiment: Experiment, data: TrainingRows, folder: Path, progress: Progress) -> list[Trial]:
    """What ``training.tuner.run_trials`` does, one trial after the other in this process."""
    spaces = {name: candidate.space for name, candidate in experiment.candidates.items()}
    search = RoundRobinSearch(spaces, experiment.sampling, experiment.batch)
    trials = []
    for number in range(experiment.trials or 0):
        config = search.suggest(str(number))
        assert isinstance(config, dict)
        configuration = experiment.configuration(config["candidate"], config["parameters"], number)
        predictions = out_of_fold(configuration, data.rows, data.labels, data.folds)
        metrics = {name: metric.value(data.labels, predictions) for name, metric in METRICS.items()}
        score = find_metric(experiment.metric).score(data.labels, predictions)
        trials.append(Trial(number, config["candidate"], configuration, score, metrics, 0.1, predictions))
        progress({"kind": "trial", **config, "metrics": metrics, "seconds": 0.1})
        search.on_trial_complete(str(number), {"score": np.float64(score)})
    return trials


@dataclass(frozen=True)
class Place:
    """A home with a database, and the run that was queued in it."""

    settings: Settings
    database: Database
    run_id: str = "run-1"


def open_place(home: Path, recipe: str = RECIPE) -> Place:
    settings = Settings.model_validate({"home": home})
    database = open_database(settings.database_url)
    migrate(database)
    with database.session() as session:
        if session.get(AccountRow, DEFAULT_ACCOUNT) is None:
            session.add(AccountRow(id=DEFAULT_ACCOUNT, name="default", created_at=0.0))
            session.flush()
        session.add(
            RunRow(
                id="run-1",
                account=DEFAULT_ACCOUNT,
                recipe="plants",
                recipe_text=recipe,
                recipe_digest="ab" * 32,
                status="queued",
                created_at=0.0,
            )
        )
    return Place(settings, database)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = open_place(tmp_path / "home")
    yield made
    made.database.close()


@pytest.fixture
def trials_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "run_trials", run_trials_here)


@dataclass(frozen=True)
class Finished:
    """A run that succeeded, where it did, and what it told on the way."""

    place: Place
    result: RunResult
    events: list[dict[str, object]]


def finish(home: Path, recipe: str = RECIPE) -> Iterator[Finished]:
    """The recipe run to its end in a place of its own, its trials in this process."""
    place = open_place(home, recipe)
    events: list[dict[str, object]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "run_trials", run_trials_here)
        document = Document(recipe, "recipe.yaml")
        result = run_recipe(document, place.settings, place.run_id, events.append, ManualClock())
    yield Finished(place, result, events)
    place.database.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    yield from finish(tmp_path_factory.mktemp("finished") / "home")
