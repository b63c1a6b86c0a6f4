"""Spans reach a real collector as OTLP, below the caller's own span; a collector that fails disturbs nobody."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from aimass.control.platform.checks import check_spans
from aimass.core.errors import Invalid
from aimass.core.settings import Settings
from aimass.gateway.metrics import render
from aimass.gateway.state import GatewayState, RevisionState
from aimass.gateway.telemetry import export as export_module
from aimass.gateway.telemetry.export import SpanExport
from aimass.gateway.telemetry.traceparent import read_traceparent
from aimass.gateway.telemetry.watching import open_spans
from aimass.serving.loader import LoadedPlan, load
from aimass.testing.gateway import INFER, Gateway, body, connect, key, service
from tests.gateway.grpc_door.grpc_kit import KEY, infer, opened, request
from tests.gateway.telemetry.collector import Collector, collecting
from tests.serving.random_graphs import graph_of, shelf
from tests.serving.served_models import layout_from

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
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


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def _open(gateway: Gateway, collector: Collector, plan: LoadedPlan) -> SpanExport:
    settings = Settings(home=gateway.app._settings.home, otlp_endpoint=collector.url)
    export = open_spans(gateway.app, settings, "replica", gateway.metrics, gateway.clock)
    assert export is not None
    gateway.serve(plan)
    return export


def _by_name(spans: list[Any]) -> dict[str, Any]:
    return {span.name: span for span in spans}


def _said(span: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}


@pytest.mark.parametrize("way", ["memory", "direct"])
async def test_a_sampled_call_is_a_span_below_its_callers(
    gateway: Gateway, plan: LoadedPlan, collector: Collector, way: str
) -> None:
    export = _open(gateway, collector, plan)
    async with connect(gateway.app, way) as client:
        for headers in ({}, {"traceparent": f"00-{TRACE}-{CALLER}-00"}, {"traceparent": "no such thing"}):
            await client.post(INFER, json=body(), headers=headers)
        answer = await client.post(INFER, json=body(), headers=SAMPLED)
    export.close()
    spans = collector.spans()
    found = _by_name(spans)
    root = found["infer iris"]
    assert len(found) == len(spans) == 5, "the other calls sent nothing"
    assert (root.trace_id.hex(), root.parent_span_id.hex(), root.kind) == (TRACE, CALLER, Span.SPAN_KIND_SERVER)
    assert {span.trace_id.hex() for span in spans} == {TRACE} and len({span.span_id for span in spans}) == 5
    said = _said(root)
    assert said["aimass.request_id"] == answer.headers["x-aimass-request-id"]
    assert (said["aimass.revision"], said["aimass.rows"], said["http.response.status_code"]) == (1, 2, 200)
    for name in ("decode", "queue", "run", "encode"):
        stage = found[name]
        assert stage.parent_span_id == root.span_id
        assert root.start_time_unix_nano - 1000 <= stage.start_time_unix_nano <= stage.end_time_unix_nano
        assert stage.end_time_unix_nano <= root.end_time_unix_nano + 1000
    (resource,) = {str(request.resource_spans[0].resource) for request in collector.requests}
    assert "aimass" in resource and "replica" in resource


async def test_a_call_over_grpc_is_a_span_too(gateway: Gateway, plan: LoadedPlan, collector: Collector) -> None:
    export = _open(gateway, collector, plan)
    async with opened(gateway) as address, grpc.aio.insecure_channel(address) as channel:
        await infer(channel)(request(), metadata=(*KEY, *SAMPLED.items()))
    export.close()
    root = _by_name(collector.spans())["infer iris"]
    assert (root.trace_id.hex(), root.parent_span_id.hex(), _said(root)["aimass.protocol"]) == (TRACE, CALLER, "grpc")


async def test_each_node_is_a_span_below_the_run(gateway: Gateway, tmp_path: Path, collector: Collector) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    layout = layout_from(graph_of(TWO), "fused", shelf())
    plan = load(layout, lambda files: shelf().checkout(files, folder))
    export = _open(gateway, collector, plan)
    known = replace(service(), revisions=(RevisionState(1, "two", layout.to_json()),))
    for served in ((), (known,)):  # anew: a revision never changes while it is there
        gateway.number += 1
        gateway.app.apply(GatewayState(gateway.number, (key(),), served), {("iris", 1): plan})
    given_rows = {"inputs": [{"name": "a", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
    async with connect(gateway.app) as client:
        assert (await client.post(INFER, json=given_rows, headers=SAMPLED)).status_code == 200
    export.close()
    found = _by_name(collector.spans())
    run, one, two = found["run"], found["node one"], found["node two"]
    assert one.parent_span_id == two.parent_span_id == run.span_id
    assert run.start_time_unix_nano == one.start_time_unix_nano
    assert abs(two.start_time_unix_nano - one.end_time_unix_nano) <= 1000
    assert _said(one) == {"aimass.node": "one"}


async def test_failures_are_spans_too_and_only_ours_are_errors(
    gateway: Gateway, plan: LoadedPlan, collector: Collector
) -> None:
    export = _open(gateway, collector, plan)
    async with connect(gateway.app) as client:
        await client.post(INFER, json={"inputs": []}, headers=SAMPLED)
        await client.post(INFER, json=body(parameters={"timeout": 1}), headers=SAMPLED)
    export.close()
    wrong, late = collector.spans()
    assert _said(wrong)["http.response.status_code"] == 400 and wrong.status.code == Status.STATUS_CODE_UNSET
    assert _said(late)["http.response.status_code"] == 504 and late.status.code == Status.STATUS_CODE_ERROR
    assert "deadline" in late.status.message


async def test_a_collector_that_fails_or_is_away_disturbs_no_call(
    gateway: Gateway, plan: LoadedPlan, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "CALLS_HELD", 8)
    export = _open(gateway, collector, plan)
    collector.status = 400  # a refusal is not tried again by the exporter
    async with connect(gateway.app) as client:
        for _ in range(40):
            assert (await client.post(INFER, json=body(), headers=SAMPLED)).status_code == 200
        collector.wait_for(lambda: gateway.metrics.spans_lost == 40)
        assert b"aimass_spans_lost_total 40.0" in render(gateway.metrics.snapshot(), 1)
        assert collector.spans() == []
        collector.status = 200
        await client.post(INFER, json=body(), headers=SAMPLED)
    collector.wait_for(lambda: len(collector.spans()) == 5)
    export.close()


def test_what_is_not_installed_or_no_address_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    check_spans(None)
    check_spans("http://127.0.0.1:4318")
    monkeypatch.setattr("aimass.control.platform.checks.EXPORTER", "opentelemetry.exporter.none")
    with pytest.raises(Invalid, match=r"opentelemetry\.exporter\.none is not installed: pip install"):
        check_spans("http://127.0.0.1:4318")
    with pytest.raises(ValueError, match="otlp_endpoint"):
        Settings(otlp_endpoint="127.0.0.1:4318")


def test_without_an_endpoint_nothing_looks_on(gateway: Gateway) -> None:
    settings = Settings(home=gateway.app._settings.home)
    assert (
        open_spans(gateway.app, settings, "replica", gateway.metrics, gateway.clock) is None
        and gateway.app.watching == ()
    )


@given(
    st.one_of(
        st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[a-z]{0,3})?", fullmatch=True),
        st.from_regex(r"(00|ff|cc)-0{31}[01]-0{15}[01]-0[0123]", fullmatch=True),
        st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=60),
    )
)
def test_the_header_is_read_as_opentelemetry_reads_it(value: str) -> None:
    from opentelemetry import trace

    theirs = trace.get_current_span(TraceContextTextMapPropagator().extract({"traceparent": value})).get_span_context()
    ours = read_traceparent(value.encode())
    assert (ours is not None) == theirs.is_valid
    if ours is not None:
        assert (ours.trace_id, ours.span_id, ours.is_sampled) == (
            theirs.trace_id,
            theirs.span_id,
            theirs.trace_flags.sampled,
        )
