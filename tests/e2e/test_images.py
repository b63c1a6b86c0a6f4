"""The images deployment, small, on the shared platform: trained by two workers, one killed, served in two places."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from aimass.client import Client
from aimass.data.moved_digits import load_moved_digits
from aimass.data.split import split
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import aimass, eventually, is_running, pids_of

pytest.importorskip("torch", reason="needs the extra torch")
pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

IMAGES = Path(__file__).parents[2] / "deployments" / "images"
ROWS, SEED = 1500, 7


def small_recipe(**space: Any) -> str:
    """The deployment's own, with fewer rows, trees and trials."""
    recipe = yaml.safe_load((IMAGES / "recipe.yaml").read_text())
    recipe["data"]["rows"] = ROWS
    recipe["split"]["folds"] = 2
    recipe["candidates"]["trees"]["space"]["max_iter"] = 15
    recipe["candidates"]["cnn"]["space"] |= {"epochs": 5, "batch": 32, "width": 8, **space}
    recipe["budget"] = {"trials": 2}
    text: str = yaml.safe_dump(recipe)
    return text


def told(platform: RunningPlatform, run_id: str, kind: str) -> list[dict[str, Any]]:
    """What the run has told of this kind."""
    path = platform.home / "runs" / run_id / "progress.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def first_epoch(platform: RunningPlatform, run_id: str) -> dict[str, Any]:
    with platform.control() as control:
        eventually(
            lambda: bool(told(platform, run_id, "epoch")) or control.run(run_id)["status"] not in ("queued", "running"),
            240,
        )
        assert told(platform, run_id, "epoch"), "\n".join(control.run_logs(run_id))
    return told(platform, run_id, "epoch")[0]


def test_trained_through_a_loss_and_served_in_two_places(platform: RunningPlatform) -> None:
    with platform.control() as control:
        run_id = control.train(small_recipe())["id"]
        os.kill(first_epoch(platform, run_id)["pids"][1], signal.SIGKILL)
        eventually(lambda: control.run(run_id)["status"] not in ("queued", "running"), 240)
        run = control.run(run_id)
        said = "\n".join(control.run_logs(run_id))
        assert run["status"] == "succeeded", said
        deployed = control.deploy((IMAGES / "service.yaml").read_text())
    assert [event["epoch"] for event in told(platform, run_id, "epoch")] == [1, 2, 3, 4, 5]
    assert told(platform, run_id, "workers_lost")
    assert "images-cnn: lost worker" in said
    assert deployed["plan"] == "mixed"

    explained = aimass(platform, "explain", "images").stdout
    assert "cnn" in explained
    assert pids_of(platform, "ray::ServeReplica:images-r1:")
    answer = aimass(platform, "predict", "images", "--image", str(IMAGES / "four.png"), "--json")
    assert answer.returncode == 0, answer.stderr
    answered = json.loads(answer.stdout)
    assert (answered["plan"], len(answered["outputs"]["probabilities"][0])) == ("mixed", 10)

    digits = load_moved_digits(ROWS, SEED)
    unseen = digits.part(split(digits, 0.25, SEED).test)
    with Client(platform.url, platform.key) as client:
        labels = client.predict("images", unseen.rows)["label"]
    reported = run["report"]["contestants"][-1]["test"]["accuracy"]["value"]
    assert float(np.mean(labels == unseen.labels)) == pytest.approx(reported)
    assert reported > 0.7
    with platform.control() as control:
        control.undeploy("images")


@pytest.mark.slow
def test_a_run_is_cancelled_while_its_workers_learn(platform: RunningPlatform) -> None:
    with platform.control() as control:
        run_id = control.train(small_recipe(epochs=200))["id"]
        pids = first_epoch(platform, run_id)["pids"]
        control.cancel_run(run_id)
        eventually(lambda: control.run(run_id)["status"] == "cancelled")
        eventually(lambda: not any(is_running(pid) for pid in pids), 60)
