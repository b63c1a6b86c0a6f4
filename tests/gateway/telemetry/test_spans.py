"""A call is a span below its caller's, by every door; its stages and nodes lie below it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from aimass.control.platform.checks import check_spans
from aimass.core.errors import Invalid
from aimass.core.settings import Settings
from aimass.gateway.protocols import arrays
from aimass.gateway.state import GatewayState, RevisionState
from aimass.gateway.telemetry.watching import open_spans
from aimass.serving.arrays import ArraysCall
from aimass.serving.loader import LoadedPlan, load
from aimass.testing.gateway import INFER, ROWS, SECRET, Gateway, body, connect, key, service
from tests.gateway.grpc_door.grpc_kit import KEY, infer, opened, refusal, request
from tests.gateway.telemetry.collector import Collector, check_tree, said
from tests.gateway.telemetry.spans_kit import CALLER, SAMPLED, TRACE, sending
from tests.serving.random_graphs import graph_of, shelf
from tests.serving.served_models import layout_from

TWO = """\
service: iris
graph:
  inputs: {a: {datatype: FP32, shape: [-1, 3]}}
  nodes:
    one: {model: one@0, inputs: {x: $in.a}}
    two: {model: one@1, inputs: {x: one.y}}
  outputs: {y: two.y}
placement: fused
"""
ROUTE = "/v2/models/iris/infer"


def _by_name(spans: list[Any]) -> dict[str, Any]:
    return {span.name: span for span in spans}


@pytest.mark.parametrize("way", ["memory", "direct"])
async def test_a_sampled_call_is_a_span_below_its_callers(
    gateway: Gateway, plan: LoadedPlan, collector: Collector, way: str
) -> None:
    with sending(gateway, collector):
        gateway.serve(plan)
        async with connect(gateway.app, way) as client:
            for headers in ({}, {"traceparent": f"00-{TRACE}-{CALLER}-00"}, {"traceparent": "no such thing"}):
                await client.post(INFER, json=body(), headers=headers)
            answer = await client.post(INFER, json=body(), headers={**SAMPLED, "tracestate": "them=1,ot=th:8"})
    spans = collector.spans()
    root = check_tree(spans)
    assert [span.name for span in spans] == [f"POST {ROUTE}", "decode", "queue", "run", "encode"]
    assert (root.trace_id.hex(), root.parent_span_id.hex(), root.kind) == (TRACE, CALLER, Span.SPAN_KIND_SERVER)
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert {span.trace_state for span in spans} == {"them=1,ot=th:8"}
    assert {span.parent_span_id for span in spans[1:]} == {root.span_id}
    assert said(root) == {
        "aimass.request_id": answer.headers["x-aimass-request-id"],
        "aimass.service": "iris",
        "aimass.revision": 1,
        "aimass.plan": "merged",
        "aimass.protocol": "http",
        "aimass.rows": 2,
        "server.address": "127.0.0.1",
        "server.port": 8000,
        "url.scheme": "http",
        "url.path": ROUTE,
        "http.request.method": "POST",
        "http.route": ROUTE,
        "http.response.status_code": 200,
    }


async def test_who_sends_is_named_and_the_environment_may_say_otherwise(
    gateway: Gateway, plan: LoadedPlan, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "scores")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    with sending(gateway, collector):
        gateway.serve(plan)
        async with connect(gateway.app) as client:
            await client.post(INFER, json=body(), headers=SAMPLED)
    (found,) = (said(request.resource_spans[0].resource) for request in collector.requests)
    assert found["service.name"] == "scores" and found["deployment.environment.name"] == "test"
    assert found["service.instance.id"] == "replica" and found["service.version"]


async def test_calls_by_grpc_and_by_handle_are_spans_too(
    gateway: Gateway, plan: LoadedPlan, collector: Collector
) -> None:
    with sending(gateway, collector):
        gateway.serve(plan)
        async with opened(gateway) as address, grpc.aio.insecure_channel(address) as channel:
            await infer(channel)(request(), metadata=(*KEY, *SAMPLED.items()))
            await refusal(infer(channel)(request(model_name="none"), metadata=(*KEY, *SAMPLED.items())))
        asked = ArraysCall("iris", SECRET, {"x": np.array(ROWS, np.float32)}, headers=SAMPLED)
        await arrays.predict(gateway.app, asked)
    spans = [span for span in collector.spans() if span.parent_span_id.hex() == CALLER]
    good, unknown, handle = spans
    method = "inference.GRPCInferenceService/ModelInfer"
    assert [span.name for span in spans] == [method, method, "infer iris"]
    words = ("rpc.system.name", "rpc.method", "rpc.response.status_code", "server.port", "aimass.protocol")
    assert [said(good)[word] for word in words] == ["grpc", method, "OK", 8001, "grpc"]
    assert said(unknown)["rpc.response.status_code"] == "NOT_FOUND" and "error.type" not in said(unknown)
    assert said(handle)["aimass.protocol"] == "handle" and "server.port" not in said(handle)


async def test_each_node_is_a_span_below_the_run(gateway: Gateway, tmp_path: Path, collector: Collector) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    layout = layout_from(graph_of(TWO), "fused", shelf())
    plan = load(layout, lambda files: shelf().checkout(files, folder))
    known = replace(service(), revisions=(RevisionState(1, "two", layout.to_json()),))
    given_rows = {"inputs": [{"name": "a", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
    with sending(gateway, collector):
        for served in ((), (known,)):  # anew: a revision never changes while it is there
            gateway.number += 1
            gateway.app.apply(GatewayState(gateway.number, (key(),), served), {("iris", 1): plan})
        async with connect(gateway.app) as client:
            assert (await client.post(INFER, json=given_rows, headers=SAMPLED)).status_code == 200
    check_tree(collector.spans())
    found = _by_name(collector.spans())
    run, one, two = found["run"], found["node one"], found["node two"]
    assert one.parent_span_id == two.parent_span_id == run.span_id
    assert run.start_time_unix_nano == one.start_time_unix_nano
    assert abs(two.start_time_unix_nano - one.end_time_unix_nano) <= 1000
    assert said(one) == {"aimass.node": "one"}


async def test_failures_are_spans_too_and_only_ours_are_errors(
    gateway: Gateway, plan: LoadedPlan, collector: Collector
) -> None:
    with sending(gateway, collector):
        gateway.serve(plan)
        async with connect(gateway.app) as client:
            await client.post(INFER, json={"inputs": []}, headers=SAMPLED)
            await client.post(INFER, json=body(parameters={"timeout": 1}), headers=SAMPLED)
            await client.post("/v2/models/iris/versions/1/infer", json={}, headers=SAMPLED)
            await client.post(INFER, json=body(), headers={**SAMPLED, "authorization": "Bearer aim_wrong"})
            await client.post("/v2/models/nobody/infer", json=body(), headers=SAMPLED)
            await client.get("/v2/models/iris", headers=SAMPLED)
    wrong, late, pinned, stranger, nobody = collector.spans()
    assert [said(span)["http.response.status_code"] for span in collector.spans()] == [400, 504, 400, 401, 404]
    assert said(pinned)["http.route"] == "/v2/models/iris/versions/1/infer" == pinned.name.removeprefix("POST ")
    assert stranger.name == f"POST {ROUTE}" and nobody.name == "HTTP"
    assert "no service 'nobody'" in said(nobody)["aimass.error"]
    for span in (wrong, pinned, stranger, nobody):
        assert span.status.code == Status.STATUS_CODE_UNSET and "error.type" not in said(span)
    assert late.status.code == Status.STATUS_CODE_ERROR and said(late)["error.type"] == "504"
    assert "deadline" in late.status.message


def test_what_is_not_installed_or_no_address_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    check_spans(None)
    check_spans("http://127.0.0.1:4318")
    monkeypatch.setattr("aimass.control.platform.checks.EXPORTER", "opentelemetry.exporter.none")
    with pytest.raises(Invalid, match=r"opentelemetry\.exporter\.none is not installed: pip install"):
        check_spans("http://127.0.0.1:4318")
    with pytest.raises(ValueError, match="otlp_endpoint"):
        Settings(otlp_endpoint="127.0.0.1:4318")
    with pytest.raises(ValueError, match="otlp_sample"):
        Settings(otlp_sample=1.5)


def test_without_an_endpoint_nothing_looks_on(gateway: Gateway) -> None:
    settings = Settings(home=gateway.app._settings.home)
    assert open_spans(gateway.app, settings, "replica", gateway.metrics, gateway.clock) is None
    assert not gateway.app.watching and not gateway.app.unplaced
