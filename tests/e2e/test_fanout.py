"""Fan-out nodes on a running platform: the same answers as in one process, replicas killed under load, none at all."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aimass.client import Client
from aimass.runtimes.conversion import to_onnx
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import eventually, pids_of
from tests.e2e.numbered import Numbered, asking, deploy_apart
from tests.serving.served_models import ONE, digits, fitted, graph_from, layout_from

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

ENSEMBLE = """
service: apart-{plan}
graph:
  inputs: {{image: {{datatype: FP32, shape: [-1, 64]}}}}
  nodes:
    scale: {{model: apart-scale@1, inputs: {{x: $in.image}}}}
    linear: {{model: apart-linear@1, inputs: {{x: scale.y}}}}
    forest: {{model: apart-forest@1, inputs: {{x: $in.image}}}}
    vote: {{combine: weighted, weights: [0.6, 0.4], inputs: [forest.probabilities, linear.probabilities]}}
  outputs: {{label: vote.label, probabilities: vote.probabilities}}
placement: {plan}
"""


def nodes_of(platform: RunningPlatform, service: str) -> dict[str, int]:
    """Replicas that run, by node."""
    with platform.control() as control:
        found: dict[str, int] = control.service(service)["nodes"]
    return found


def replicas_of(platform: RunningPlatform, service: str, node: str, revision: int = 1) -> set[int]:
    return pids_of(platform, f"ray::ServeReplica:{service}-r{revision}:{node}")


def end(platform: RunningPlatform, *services: str) -> None:
    """Undeploys, and waits until nothing of them runs."""
    with platform.control() as control:
        for service in services:
            control.undeploy(service)
    for service in services:
        eventually(lambda service=service: not pids_of(platform, f"ray::ServeReplica:{service}-r"), 60)  # type: ignore[misc]


def test_an_ensemble_answers_the_same_merged_fused_and_fanned_out(platform: RunningPlatform, tmp_path: Path) -> None:
    plans = ("merged", "fused", "fanout")
    with platform.control() as control:
        for name in ("scale", "linear", "forest"):
            wanted = ("y",) if name == "scale" else ("label", "probabilities")
            path = tmp_path / f"{name}.onnx"
            path.write_bytes(to_onnx(fitted()[name], "x", 64, wanted))
            control.add_model(f"apart-{name}", path)
        for plan in plans:
            assert control.deploy(ENSEMBLE.format(plan=plan))["plan"] == plan
    rows = digits()[0]
    with Client(platform.url, platform.key) as client:
        answers = {plan: [client.predict(f"apart-{plan}", part) for part in np.array_split(rows, 40)] for plan in plans}
    for merged, fused, fanout in zip(*answers.values(), strict=True):
        np.testing.assert_array_equal(fanout["probabilities"], fused["probabilities"])
        np.testing.assert_array_equal(fanout["label"], fused["label"])
        np.testing.assert_allclose(merged["probabilities"], fused["probabilities"], atol=1e-5)
    assert nodes_of(platform, "apart-fanout") == {"scale": 1, "linear": 1, "forest": 1}
    with platform.control() as control:
        shown = [item for item in control.status()["nodes"] if item["application"] == "apart-fanout-r1"]
    assert {item["node"]: item["replicas"] for item in shown} == {"scale": 1, "linear": 1, "forest": 1}
    end(platform, *(f"apart-{plan}" for plan in plans))


def test_a_node_replica_killed_under_load_costs_its_own_calls_at_most(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    deploy_apart(platform, tmp_path, "mortal", "{min: 2, max: 2}")
    eventually(lambda: len(replicas_of(platform, "mortal", "scale")) == 2)
    load = Numbered(platform, "mortal", 3.0)
    with asking(load, clients=8):
        for _ in range(2):
            eventually(lambda: len(load.answered) > 200)
            before = replicas_of(platform, "mortal", "scale")
            os.kill(min(before), 9)
            load.answered.clear()
            eventually(lambda: len(load.answered) > 200, 60)
            eventually(lambda before=before: len(replicas_of(platform, "mortal", "scale") - before) == 1, 60)  # type: ignore[misc]
            load.answered.clear()
        eventually(lambda: len(load.answered) > 200)
        counted = len(load.refused)
    assert load.wrong == []
    assert {(status, kind) for _, status, kind in load.refused} <= {(503, "unavailable")}
    assert counted <= 2 * 8, "at most what was under way when a replica died"
    assert len({number for number, _, _ in load.refused} | set(load.answered)) == counted + len(load.answered)
    end(platform, "mortal")


def test_a_node_without_replicas_holds_its_calls_until_one_has_come(platform: RunningPlatform, tmp_path: Path) -> None:
    deploy_apart(platform, tmp_path, "sleeper", "{min: 0, max: 1, policy_options: {cooldown_s: 1}}")
    with Client(platform.url, platform.key) as client:
        client.predict("sleeper", [[1.0, 2.0]])
        eventually(lambda: nodes_of(platform, "sleeper") == {"scale": 0}, 60)
        eventually(lambda: not replicas_of(platform, "sleeper", "scale"), 60)
    load = Numbered(platform, "sleeper", 3.0)
    with asking(load, clients=5):
        eventually(lambda: len(load.answered) >= 50, 60)
    assert (load.wrong, load.refused) == ([], [])
    assert sorted(load.answered) == list(range(1, load.asked + 1))
    end(platform, "sleeper")


@pytest.mark.slow
def test_a_node_grows_with_its_calls_and_shrinks_again(platform: RunningPlatform, tmp_path: Path) -> None:
    """Few calls are out for each replica, so what autoscaling sees must count those that wait at senders."""
    size = "{min: 1, max: 3, target_ongoing: 4, policy_options: {cooldown_s: 2}}"
    deploy_apart(platform, tmp_path, "growing", size, size=1536)  # long enough for calls to wait
    load = Numbered(platform, "growing", 3.0)
    with asking(load, clients=16):
        eventually(lambda: nodes_of(platform, "growing") == {"scale": 3}, 120)
        load.answered.clear()
        eventually(lambda: len(load.answered) > 100, 60)
    assert (load.wrong, load.refused) == ([], [])
    eventually(lambda: nodes_of(platform, "growing") == {"scale": 1}, 120)
    with Client(platform.url, platform.key) as client:
        assert client.predict("growing", [[1.0, 2.0]])["y"].tolist() == [[3.0, 6.0]]
    end(platform, "growing")


BROKEN = """
import sys, threading, time
import ray
ray.init(namespace="aimass", log_to_driver=False, logging_level="ERROR")
from ray import serve
from aimass.control.reconciling.nodes import ServeArm, Wanted
from aimass.core.home import Home
from aimass.serving.batching.rules import Rules
from aimass.serving.layout import Layout
from pathlib import Path
import json
arm = ServeArm(Home(Path(sys.argv[1])), threading.Lock())
arm.start("unloadable", Wanted(Layout.from_json(json.loads(sys.argv[2])), Rules()))
while not arm.applications()["unloadable"].failed:
    time.sleep(0.2)
print(arm.applications()["unloadable"].failed)
arm.end("unloadable")
"""


def test_a_node_that_does_not_load_says_why(platform: RunningPlatform) -> None:
    layout = json.dumps(layout_from(graph_from(ONE), "fanout").to_json())
    lost = re.sub(r'(?<="model.onnx": ")[0-9a-f]{64}', "0" * 64, layout)
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, str(platform.home), lost],
        env=platform.ray_environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert "is missing from the store" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stdout
