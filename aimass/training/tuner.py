"""Many configurations tried by Ray Tune, each giving out-of-fold predictions; the same seed gives the same trials."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.tune.logger import JsonLoggerCallback
from ray.tune.search import ConcurrencyLimiter

from aimass.core.errors import Invalid
from aimass.training.evaluation import METRICS, find_metric
from aimass.training.experiment import Experiment, Progress, TrainingRows, Trial
from aimass.training.fitting import make_trainer, out_of_fold
from aimass.training.search import SCORE, RoundRobinSearch
from aimass.training.telling import Teller, last_line

TRIAL_CPUS = 0.4
"""Four trials at a time beside a serving platform on two cores, and still one beside a busy one."""


def run_trials(experiment: Experiment, data: TrainingRows, folder: Path, progress: Progress) -> list[Trial]:
    """The trials that ended well, by number. Needs a Ray that is connected; writes ``folder``; ``Invalid`` if none did.

    ``progress`` is told of each trial that ends: kind ``trial`` with number, candidate, parameters, metrics, seconds,
    or kind ``trial_failed`` with the error.
    """
    _check_room(experiment)
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # verbose=0 silences the old output only
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # it would end the trials and let the run go on
    trials_folder = folder / "trials"
    trials_folder.mkdir(parents=True, exist_ok=True)
    search = RoundRobinSearch(
        {name: candidate.space for name, candidate in experiment.candidates.items()},
        experiment.sampling,
        experiment.batch,
        experiment.seconds,
    )
    trainable = tune.with_parameters(_trial, data=data, experiment=experiment, folder=trials_folder)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": TRIAL_CPUS}),
        tune_config=tune.TuneConfig(
            metric=SCORE,
            mode="max",
            search_alg=ConcurrencyLimiter(search, max_concurrent=experiment.batch, batch=True),
            num_samples=-1 if experiment.trials is None else experiment.trials,
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
    trials = [_read(result.config, result.metrics, experiment, trials_folder) for result in ended]
    return sorted(trials, key=lambda trial: trial.number)


def _check_room(experiment: Experiment) -> None:
    """What is fitted over several processes must find room after hours of tuning; ``Invalid`` names what asks."""
    for name, candidate in experiment.candidates.items():
        trainer = make_trainer(candidate.trainer)
        for parameter, domain in candidate.space.items():
            wanted = max(trainer.cpus({parameter: value}) for value in domain.extremes())
            if wanted and wanted > (there := ray.cluster_resources().get("CPU", 0.0)):
                raise Invalid(
                    f"candidate {name}: its fit asks Ray for {wanted:g} CPUs, the cluster has {there:g}; "
                    f"take a smaller {parameter}",
                    field=f"candidates.{name}.space.{parameter}",
                )


def _trial(config: dict[str, Any], *, data: TrainingRows, experiment: Experiment, folder: Path) -> None:
    """Runs in a Ray actor: fits every fold, keeps the predictions in the run's folder, reports the score."""
    started = time.monotonic()
    number = config["number"]
    configuration = experiment.configuration(config["candidate"], config["parameters"], number)
    predictions = out_of_fold(configuration, data.rows, data.labels, data.folds)
    np.save(folder / f"{number}.npy", predictions)
    values = {name: known.value(data.labels, predictions) for name, known in METRICS.items()}
    score = find_metric(experiment.metric).score(data.labels, predictions)
    tune.report({SCORE: score, "values": values, "seconds": time.monotonic() - started})


def _read(config: dict[str, Any], metrics: dict[str, Any], experiment: Experiment, folder: Path) -> Trial:
    number = config["number"]
    return Trial(
        number=number,
        candidate=config["candidate"],
        configuration=experiment.configuration(config["candidate"], config["parameters"], number),
        score=metrics[SCORE],
        metrics=metrics["values"],
        seconds=metrics["seconds"],
        predictions=np.load(folder / f"{number}.npy"),
    )
