"""Many configurations tried by Ray Tune, each giving out-of-fold predictions; the same seed gives the same trials."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune.logger import JsonLoggerCallback
from ray.tune.search import ConcurrencyLimiter

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.data.split import Fold
from aimass.training.evaluation import METRICS, find_metric
from aimass.training.fitting import Configuration, out_of_fold
from aimass.training.search import SCORE, RoundRobinSearch, Sampling
from aimass.training.space import Parameters, Space
from aimass.training.telling import Progress, Teller, last_line

TRIAL_CPUS = 0.4
"""Four trials at a time beside a serving platform on two cores, and still one beside a busy one."""


@dataclass(frozen=True)
class Candidate:
    """One kind of model to try: a trainer, the transform in front of it (empty: none) and what may vary."""

    trainer: str
    transform: str
    space: Space


@dataclass(frozen=True)
class Plan:
    """What to try and for how long: ``trials`` in all, or until ``seconds`` have passed (then the same seed may try
    another number)."""

    candidates: Mapping[str, Candidate]
    metric: str
    sampling: Sampling
    batch: int
    trials: int | None
    seconds: float | None


@dataclass(frozen=True)
class TrainingRows:
    """The training split and its folds; all that a trial sees."""

    rows: Array
    labels: Array
    folds: tuple[Fold, ...]


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried: its out-of-fold predictions and what they are worth."""

    number: int
    candidate: str
    configuration: Configuration
    score: float  # higher is better
    metrics: Mapping[str, float]
    seconds: float
    predictions: Array


def trial_seed(seed: int, number: int) -> int:
    """The seed of a trial's own estimator."""
    return int(np.random.SeedSequence([seed, 1_000_000 + number]).generate_state(1)[0]) >> 1


def run_trials(plan: Plan, data: TrainingRows, folder: Path, progress: Progress) -> list[Trial]:
    """The trials that ended well, by number. Needs a Ray that is connected; writes ``folder``; ``Invalid`` if none did.

    ``progress`` is told of each trial that ends: kind ``trial`` with number, candidate, parameters, metrics, seconds,
    or kind ``trial_failed`` with the error.
    """
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # verbose=0 silences the old output only
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # it would end the trials and let the run go on
    trials_folder = folder / "trials"
    trials_folder.mkdir(parents=True, exist_ok=True)
    search = RoundRobinSearch(
        {name: candidate.space for name, candidate in plan.candidates.items()}, plan.sampling, plan.batch, plan.seconds
    )
    trainable = tune.with_parameters(
        _trial,
        data=data,
        candidates=dict(plan.candidates),
        metric=plan.metric,
        seed=plan.sampling.seed,
        folder=trials_folder,
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": TRIAL_CPUS}),
        tune_config=tune.TuneConfig(
            metric=SCORE,
            mode="max",
            search_alg=ConcurrencyLimiter(search, max_concurrent=plan.batch, batch=True),
            num_samples=-1 if plan.trials is None else plan.trials,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder.absolute()),
            verbose=0,
            callbacks=[Teller(progress), JsonLoggerCallback()],
        ),
    )
    results = tuner.fit()
    ended = [result for result in results if result.error is None and result.metrics and SCORE in result.metrics]
    if not ended:
        failed = [str(result.error) for result in results if result.error is not None]
        raise Invalid(f"no trial ended with a score; the first failed with: {last_line(failed[0])}", field="candidates")
    trials = [_read(result.config, result.metrics, plan, trials_folder) for result in ended]
    return sorted(trials, key=lambda trial: trial.number)


def configuration_of(plan: Plan, candidate: str, parameters: Parameters, number: int) -> Configuration:
    """What trial ``number`` of a candidate fits."""
    chosen = plan.candidates[candidate]
    return Configuration(chosen.trainer, chosen.transform, parameters, trial_seed(plan.sampling.seed, number))


def _trial(
    config: dict[str, Any],
    *,
    data: TrainingRows,
    candidates: Mapping[str, Candidate],
    metric: str,
    seed: int,
    folder: Path,
) -> None:
    """Runs in a Ray actor: fits every fold, keeps the predictions in the run's folder, reports the score."""
    started = time.monotonic()
    chosen = candidates[config["candidate"]]
    number = config["number"]
    configuration = Configuration(chosen.trainer, chosen.transform, config["parameters"], trial_seed(seed, number))
    predictions = out_of_fold(configuration, data.rows, data.labels, data.folds)
    np.save(folder / f"{number}.npy", predictions)
    values = {name: known.value(data.labels, predictions) for name, known in METRICS.items()}
    score = find_metric(metric).score(data.labels, predictions)
    tune.report({SCORE: score, "values": values, "seconds": time.monotonic() - started})


def _read(config: dict[str, Any], metrics: dict[str, Any], plan: Plan, folder: Path) -> Trial:
    number = config["number"]
    return Trial(
        number=number,
        candidate=config["candidate"],
        configuration=configuration_of(plan, config["candidate"], config["parameters"], number),
        score=metrics[SCORE],
        metrics=metrics["values"],
        seconds=metrics["seconds"],
        predictions=np.load(folder / f"{number}.npy"),
    )
