"""The network learnt by two workers of Ray Train: as one process would, and also when one of them is killed."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimass.core.errors import Invalid, Unavailable
from aimass.data.moved_digits import load_moved_digits
from aimass.data.split import folds
from aimass.training.experiment import Candidate, Experiment, Sampling, TrainingRows
from aimass.training.site import Site
from aimass.training.space import Choice, Fixed, Parameters
from aimass.training.trainers.cnn import CnnTrainer
from aimass.training.tuner import run_trials

pytest.importorskip("torch", reason="needs the extra torch")
pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

DIGITS = load_moved_digits(300, 3)
PARAMETERS: Parameters = {"epochs": 5, "batch": 33, "width": 4, "workers": 2}  # an odd batch: parts of 17 and 16 rows


def fit(site: Site | None) -> Any:
    return CnnTrainer().fit(DIGITS.rows, DIGITS.labels, PARAMETERS, seed=2, site=site)


@pytest.mark.slow
def test_a_killed_worker_costs_an_epoch_and_nothing_else(tmp_path: Path) -> None:
    """kill -9 of one worker: the epoch after the last checkpoint begins again; the model is as it would have been."""
    events: list[dict[str, Any]] = []

    def watch(event: dict[str, Any]) -> None:
        events.append(event)
        if event["kind"] == "epoch" and event["epoch"] == 1:
            os.kill(event["pids"][1], signal.SIGKILL)

    together = fit(Site(tmp_path, "digits-cnn", watch)).predict_proba(DIGITS.rows)
    np.testing.assert_allclose(together, fit(None).predict_proba(DIGITS.rows), atol=1e-3)
    epochs = [event for event in events if event["kind"] == "epoch"]
    lost = [event for event in events if event["kind"] == "workers_lost"]
    assert [event["epoch"] for event in epochs] == [1, 2, 3, 4, 5], "no epoch with a checkpoint is learnt again"
    assert 1 <= lost[0]["epoch"] < 5
    assert not set(epochs[0]["pids"]) & set(epochs[-1]["pids"]), "the last epoch had other workers than the first"
    assert len(set(epochs[0]["pids"])) == 2
    assert not (tmp_path / "training" / "digits-cnn").exists(), "checkpoints are of no use any more"


@pytest.mark.slow
def test_workers_lost_too_often_end_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aimass.training.cnn import workers

    monkeypatch.setattr(workers, "LOSSES", 0)

    def kill(event: dict[str, Any]) -> None:
        if event["kind"] == "epoch" and event["epoch"] == 1:
            os.kill(event["pids"][0], signal.SIGKILL)

    with pytest.raises(Unavailable, match="digits-cnn: its training was given up"):
        fit(Site(tmp_path, "digits-cnn", kill))


def test_a_batch_is_not_cut_smaller_than_a_row(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="3 workers cannot share a batch of 2 rows"):
        CnnTrainer().fit(
            DIGITS.rows,
            DIGITS.labels,
            {"batch": 2, "workers": 3},
            seed=0,
            site=Site(tmp_path, "digits-cnn", lambda event: None),
        )


@pytest.mark.parametrize("domain", [Fixed(64), Choice((2, 64))])
def test_more_workers_than_the_cluster_has_room_for_are_refused_first(tmp_path: Path, domain: Any) -> None:
    rows = TrainingRows(DIGITS.rows, DIGITS.labels, folds(DIGITS, 2, 0))
    asked = Experiment(
        {"net": Candidate("cnn", "", {"workers": domain})}, "log_loss", Sampling("tpe", 1, 0), 1, 1, None
    )
    with pytest.raises(Invalid, match=r"candidate net: its fit asks Ray for 12\.8 CPUs, the cluster has 2") as caught:
        run_trials(asked, rows, tmp_path, lambda event: None)
    assert caught.value.field == "candidates.net.space.workers"
