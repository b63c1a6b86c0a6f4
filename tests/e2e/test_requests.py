"""On a real platform: every answer names its request, which can be looked at and answered again afterwards."""

from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
import tritonclient.grpc as triton

from aimass.client import Client
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import aimass, eventually, scaling_document, told, write_scaling
from tests.gateway.telemetry.collector import Collector, check_tree, said

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
ROWS = np.array([[1.5, -2.0], [0.1, 3.0]], np.float32)
TRACES = ("0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736")
CALLER = "00f067aa0ba902b7"
APART = """
service: seen
graph:
  inputs: {x: {datatype: FP32, shape: [-1, 2]}}
  nodes:
    near: {model: seen@1, inputs: {x: $in.x}}
    far: {model: seen-slow@1, inputs: {x: $in.x}, placement: fanout, hedge_after_ms: 1}
    both: {combine: mean, inputs: [near.y, far.y]}
  outputs: {y: both.probabilities}
"""
KEPT = "payloads: {sample: 1, private: {encrypt: [x]}}\n"


def test_a_request_is_kept_traced_and_replayed(platform: RunningPlatform, tmp_path: Path) -> None:
    with platform.control() as control:
        numbers = [
            control.add_model("kept", write_scaling(tmp_path / f"{f}.onnx", f))["number"] for f in (3.0, 5.0, 7.0)
        ]
        control.deploy(scaling_document("kept", f"kept@{numbers[0]}") + KEPT)
    given = triton.InferInput("x", [2, 2], "FP32")
    given.set_data_from_numpy(ROWS)
    with Client(platform.url, platform.key) as client:
        answer = client.predict("kept", ROWS)
    with triton.InferenceServerClient(platform.file.grpc) as doors:
        doors.infer("kept", [given], headers={"authorization": f"Bearer {platform.key}"})
    assert answer.revision == 1
    with platform.control() as control:
        eventually(lambda: [day["calls"] for item in control.payloads("kept") for day in item["days"]] == [2])
    found = told(platform, "replay", answer.request_id)
    assert (found["how"], found["same"]) == ("sent to revision 1 again", {"y": "bits"})
    assert found["outputs"]["y"] == (ROWS * 3).tolist()
    assert [(node["name"], node["rows"]) for node in found["nodes"]] == [("scale", 2)]
    shown = aimass(platform, "trace", answer.request_id)
    assert shown.returncode == 0 and "kept revision 1" in shown.stdout and "total" in shown.stdout, shown.stdout
    assert ROWS.tobytes() not in b"".join(
        path.read_bytes() for path in (platform.home / "payloads").rglob("*") if path.is_file()
    )
    with platform.control() as control:
        for number in numbers[1:]:  # the first revision is not kept loaded any more
            control.deploy(scaling_document("kept", f"kept@{number}") + KEPT)
        eventually(lambda: not control.replay(answer.request_id)["is_loaded"])
    again = told(platform, "replay", answer.request_id)
    assert again["how"].startswith("run outside") and again["same"] == {"y": "bits"}
    written = told(platform, "payloads", "kept", "--export", str(tmp_path / "kept.parquet"))
    kept = pq.read_table(tmp_path / "kept.parquet").to_pylist()
    assert written["bytes"] > 0
    assert {"http", "grpc"} <= {row["protocol"] for row in kept} and answer.request_id in [
        r["request_id"] for r in kept
    ]
    for words, says in (
        (("replay", "none"), "no request 'none' is on record"),
        (("trace", "No Id"), "no request 'No Id' is on record"),
        (("payloads", "nobody"), "no service is named 'nobody'"),
    ):
        refused = aimass(platform, *words)
        assert refused.returncode == 1 and says in refused.stderr and len(refused.stderr.splitlines()) == 1
    told(platform, "payloads", "kept", "--clean")
    refused = aimass(platform, "replay", answer.request_id)
    assert refused.returncode == 1 and "not kept" in refused.stderr


def test_spans_reach_a_collector_from_nodes_in_their_own_replicas(
    platform: RunningPlatform, spans: Collector, tmp_path: Path
) -> None:
    """One node runs in the gateway, one elsewhere, which takes long and is asked a second time; by HTTP and by gRPC."""
    with platform.control() as control:
        control.add_model("seen", write_scaling(tmp_path / "near.onnx", 3.0))
        control.add_model("seen-slow", write_scaling(tmp_path / "slow.onnx", 3.0, 768))
        assert control.deploy(APART)["plan"] == "mixed"
    by_http, by_grpc = ({"traceparent": f"00-{trace}-{CALLER}-01"} for trace in TRACES)
    key = {"authorization": f"Bearer {platform.key}"}
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": ROWS.ravel().tolist()}
    given = triton.InferInput("x", [2, 2], "FP32")
    given.set_data_from_numpy(ROWS)
    with httpx.Client(base_url=platform.url, headers=key, trust_env=False) as client:
        client.post("/v2/models/seen/infer", json={"inputs": [tensor]})  # who asks for no spans causes none
        answer = client.post("/v2/models/seen/infer", json={"inputs": [tensor]}, headers=by_http)
    with triton.InferenceServerClient(platform.file.grpc) as doors:
        doors.infer("seen", [given], headers={**key, **by_grpc})
    assert answer.json()["outputs"][0]["data"] == pytest.approx((ROWS * 3).ravel().tolist())
    spans.wait_for(lambda: all(spans.trace(trace) for trace in TRACES))
    for trace, protocol in zip(TRACES, ("http", "grpc"), strict=True):
        found = spans.trace(trace)
        root = check_tree(list(found.values()))
        assert root.parent_span_id.hex() == CALLER and said(root)["aimass.protocol"] == protocol
        nodes = {name: span for name, span in found.items() if name.startswith("node ")}
        assert {span.parent_span_id for span in nodes.values()} == {found["run"].span_id}
        far, rest = nodes.pop("node far"), nodes
        assert [event.name for event in far.events] == ["hedge"] and said(far) == {"aimass.node": "far"}
        assert rest and all(not span.events for span in rest.values())
    assert {span.trace_id.hex() for span in spans.spans() if said(span).get("aimass.service") == "seen"} == set(TRACES)
    with platform.control() as control:
        control.undeploy("seen")
