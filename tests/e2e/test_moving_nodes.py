"""A graph moves between plans while it is called, and what is predicted of it is measured, on a running platform."""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest

from aimass.core.batch import Array
from aimass.runtimes.conversion import to_onnx
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import aimass, eventually, pids_of
from tests.serving.served_models import digits, fitted

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SERVICE = """
service: moving
graph:
  inputs: {image: {datatype: FP32, shape: [-1, 64]}}
  nodes:
    linear: {model: moving-linear@1, inputs: {x: $in.image}}
    forest: {model: moving-forest@1, inputs: {x: $in.image}OWN}
    vote: {combine: weighted, weights: [0.6, 0.4], inputs: [forest.probabilities, linear.probabilities]}
  outputs: {probabilities: vote.probabilities}
placement: PLAN
"""


def document(plan: str, own: str = "") -> str:
    return SERVICE.replace("PLAN", plan).replace("OWN", own and f", placement: {own}")


@pytest.fixture(scope="module")
def models(platform: RunningPlatform, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("models")
    with platform.control() as control:
        for name in ("linear", "forest"):
            path = folder / f"{name}.onnx"
            path.write_bytes(to_onnx(fitted()[name], "x", 64, ("label", "probabilities")))
            control.add_model(f"moving-{name}", path)


@dataclass
class Caller:
    """Asks without rest for the digits in turn; knows each answer beforehand."""

    platform: RunningPlatform
    plans: dict[str, int] = field(default_factory=dict)  # plan that answered → how often
    asked: int = 0
    wrong: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        rows, wanted = digits()[0], expected()
        headers = {"authorization": f"Bearer {self.platform.key}"}
        with httpx.Client(base_url=self.platform.url, headers=headers, timeout=60) as client:
            while not self.stopped.is_set():
                index = self.asked % len(rows)
                self.asked += 1
                tensor = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": rows[index].tolist()}
                try:
                    answer = client.post("/v2/models/moving/infer", json={"inputs": [tensor]})
                    answer.raise_for_status()
                    given = answer.json()["outputs"][0]["data"]
                    np.testing.assert_allclose(given, wanted[index], atol=1e-4)
                except (httpx.HTTPError, AssertionError) as error:
                    self.wrong.append(f"{self.asked}: {error!r}")
                    continue
                plan = answer.headers["x-aimass-plan"]
                self.plans[plan] = self.plans.get(plan, 0) + 1


def said(platform: RunningPlatform, *words: str) -> str:
    done = aimass(platform, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected() -> Array:
    models = fitted()
    members = [models[name].predict_proba(digits()[0]) for name in ("forest", "linear")]
    combined: Array = 0.6 * members[0] + 0.4 * members[1]
    return combined


def test_a_graph_moves_between_plans_without_a_lost_call(platform: RunningPlatform, models: None) -> None:
    moves = [document("merged"), document("fanout"), document("fused"), document("fused", "fanout"), document("merged")]
    with platform.control() as control:
        assert control.deploy(moves[0])["plan"] == "merged"
        caller = Caller(platform)
        threads = [threading.Thread(target=caller.run) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for text, plan in zip(moves[1:], ("fanout", "fused", "mixed", "merged"), strict=True):
                before = caller.plans.get(plan, 0)
                assert control.deploy(text)["plan"] == plan
                eventually(lambda plan=plan, before=before: caller.plans.get(plan, 0) > before + 20, 60)  # type: ignore[misc]
        finally:
            caller.stopped.set()
            for thread in threads:
                thread.join()
        assert caller.wrong == []
        assert set(caller.plans) == {"merged", "fused", "fanout", "mixed"}
        control.undeploy("moving")
    eventually(lambda: not pids_of(platform, "ray::ServeReplica:moving-r"), 60)


@pytest.mark.slow
def test_doctor_measures_and_explain_says_how_far_off(platform: RunningPlatform, models: None, tmp_path: Path) -> None:
    path = tmp_path / "service.yaml"
    path.write_text(document("auto"))
    costs = json.loads(said(platform, "doctor", "--measure", "--json"))
    assert costs["hop_p50_us"] > costs["door_p50_us"] > 0
    assert all(value >= 0 for value in costs.values())
    found = json.loads(said(platform, "explain", str(path), "--load", "200rps", "--rows", "4", "--json"))
    assert found["costs"].startswith("measured on this machine at ")
    assert found["load"] == {"rps": 200, "rows": 4}
    fanout = next(item["figures"] for item in found["alternatives"] if item["name"] == "fanout")
    assert fanout["p50_us"] > costs["hop_p50_us"] + costs["door_p50_us"]
    with platform.control() as control:
        control.deploy(document("fused"))
        caller = Caller(platform)
        thread = threading.Thread(target=caller.run)
        thread.start()
        try:
            eventually(lambda: caller.asked > 200, 60)
        finally:
            caller.stopped.set()
            thread.join()

        def measured() -> int:
            seen = control.explain("moving", measured=True).get("measured")
            return int(seen["calls"]) if seen else 0

        eventually(lambda: measured() >= caller.asked, 30)
        control.undeploy("moving")
    text = said(platform, "explain", str(path))
    assert "Costs of this machine: measured on this machine" in text
    (platform.home / "machine.json").unlink()
