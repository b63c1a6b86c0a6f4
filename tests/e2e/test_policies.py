"""What a service document says of bad days, on a running platform whose node replicas are killed under load."""

import os
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import eventually, pids_of, write_scaling
from tests.e2e.numbered import Numbered, asking

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

DOCUMENT = """
service: {service}
graph:
  inputs: {{x: {{datatype: FP32, shape: [-1, 2]}}}}
  nodes:
    a: {{model: {service}-quick@1, inputs: {{x: $in.x}}}}
    b: {{model: {service}@1, inputs: {{x: $in.x}}, placement: fanout, {policy}}}
    both: {{combine: mean, inputs: [a.y, b.y]{quorum}}}
  outputs: {{y: both.probabilities}}
limits: {{deadline_ms: 20000}}
"""


def _deploy(platform: RunningPlatform, folder: Path, service: str, policy: str, quorum: str = "") -> None:
    with platform.control() as control:
        control.add_model(f"{service}-quick", write_scaling(folder / "quick.onnx", 3.0))
        control.add_model(service, write_scaling(folder / "slow.onnx", 3.0, 1024))
        control.deploy(DOCUMENT.format(service=service, policy=policy, quorum=quorum))


def _replicas(platform: RunningPlatform, service: str) -> set[int]:
    return pids_of(platform, f"ray::ServeReplica:{service}-r1:b")


def _counted(platform: RunningPlatform, service: str, name: str) -> float:
    """The sum of a metric over the service's nodes."""
    answer = httpx.get(f"{platform.url}/metrics", trust_env=False)
    return sum(
        sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == f"aimass_{name}" and sample.labels.get("service") == service
    )


def _kill_one(platform: RunningPlatform, service: str, load: Numbered, least: int) -> None:
    """Ends one replica of node b while calls are answered; waits until they are again, by so many replicas at least."""
    eventually(lambda: len(load.answered) > 50, 60)
    before = _replicas(platform, service)
    os.kill(min(before), 9)
    load.answered.clear()
    eventually(lambda: len(load.answered) > 50, 60)
    eventually(lambda: len(_replicas(platform, service) - {min(before)}) >= least, 60)


def test_a_node_that_is_tried_again_loses_no_call_when_a_replica_is_killed(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    _deploy(platform, tmp_path, "tenacious", "replicas: {min: 2, max: 2}, retries: 3")
    eventually(lambda: len(_replicas(platform, "tenacious")) == 2, 60)
    load = Numbered(platform, "tenacious", 3.0)
    with asking(load, clients=8):
        for _ in range(6):
            _kill_one(platform, "tenacious", load, least=2)
            if _counted(platform, "tenacious", "node_retries_total"):
                break  # it was at work when it died
    assert (load.wrong, load.refused) == ([], [])
    assert _counted(platform, "tenacious", "node_retries_total") > 0
    with platform.control() as control:
        control.undeploy("tenacious")


def test_a_member_that_may_be_lost_is_done_without_until_it_is_back(platform: RunningPlatform, tmp_path: Path) -> None:
    policy = "deadline_ms: 300, breaker: {failures: 2, reset_s: 1}"
    _deploy(platform, tmp_path, "lossy", policy, ", quorum: 1")
    load = Numbered(platform, "lossy", 3.0)
    with asking(load, clients=8):
        _kill_one(platform, "lossy", load, least=1)
        with httpx.Client(base_url=platform.url, headers={"authorization": f"Bearer {platform.key}"}) as client:
            tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 1.0]}

            def is_whole() -> bool:
                answer = client.post("/v2/models/lossy/infer", json={"inputs": [tensor]})
                return answer.status_code == 200 and "x-aimass-degraded" not in answer.headers

            eventually(is_whole, 60)
    assert (load.wrong, load.refused) == ([], [])
    eventually(lambda: _counted(platform, "lossy", "degraded_total") > 0)
    eventually(lambda: _counted(platform, "lossy", "breaker_state") == 0)
    assert _counted(platform, "lossy", "node_failures_total") > 0
    with platform.control() as control:
        control.undeploy("lossy")
