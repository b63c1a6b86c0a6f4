"""A collector that refuses, is away, is slow or asks for patience disturbs no call; what it did not get is counted."""

import logging
from functools import partial

import pytest

from aimass.gateway.metrics import render
from aimass.gateway.telemetry import export as export_module
from aimass.serving.loader import LoadedPlan
from aimass.testing.gateway import INFER, Gateway, body, connect
from aimass.testing.running import free_ports
from tests.gateway.telemetry.collector import Collector
from tests.gateway.telemetry.spans_kit import SAMPLED, exporting, sending

OURS = "aimass.gateway.telemetry.export"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine, a collector has little time in these tests."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.3")
    monkeypatch.setattr(export_module, "REST_S", 0.01)
    monkeypatch.setattr(export_module, "CLOSE_S", 0.05)


def _has_lost(gateway: Gateway, calls: int) -> bool:
    return gateway.metrics.spans_lost == calls


async def _ask(gateway: Gateway, calls: int, sampled: bool = True) -> None:
    async with connect(gateway.app) as client:
        for _ in range(calls):
            answer = await client.post(INFER, json=body(), headers=SAMPLED if sampled else {})
            assert answer.status_code == 200


async def test_one_that_refuses_gets_the_next_calls_once_it_takes_them(
    gateway: Gateway, plan: LoadedPlan, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 400  # not to be tried again
    with caplog.at_level(logging.WARNING), sending(gateway, collector):
        gateway.serve(plan)
        for lost in (20, 40):
            await _ask(gateway, 20)
            collector.wait_for(partial(_has_lost, gateway, lost))
        assert b"aimass_spans_lost_total 40.0" in render(gateway.metrics.snapshot(), 1)
        assert collector.spans() == [] and collector.asked >= 2
        collector.status = 200
        await _ask(gateway, 1)
        collector.wait_for(lambda: len(collector.spans()) == 5)
    assert gateway.metrics.spans_lost == 40
    (line,) = caplog.records
    assert line.name == OURS and "400" in line.getMessage(), "one line, with the reason"


async def test_one_that_asks_for_patience_is_asked_again_and_nothing_is_lost(
    gateway: Gateway, plan: LoadedPlan, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "20")
    monkeypatch.setattr(export_module, "CLOSE_S", 20.0)
    collector.first = [503, 503, 503]  # each with retry-after: 0
    with sending(gateway, collector):
        gateway.serve(plan)
        await _ask(gateway, 1)
    assert len(collector.spans()) == 5 and collector.asked == 4 and gateway.metrics.spans_lost == 0


async def test_one_that_is_away_costs_no_call_and_one_line(
    gateway: Gateway, plan: LoadedPlan, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), exporting(gateway, f"http://127.0.0.1:{free_ports(1)[0]}"):
        gateway.serve(plan)
        for lost in (5, 10, 15):
            await _ask(gateway, 5)
            collector.wait_for(partial(_has_lost, gateway, lost))
    assert [record.name for record in caplog.records] == [OURS]


async def test_while_one_is_slow_so_many_calls_wait_and_no_more(
    gateway: Gateway, plan: LoadedPlan, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "20")
    monkeypatch.setattr(export_module, "CALLS_HELD", 8)
    monkeypatch.setattr(export_module, "ROOTS_HELD", 4)
    monkeypatch.setattr(export_module, "CLOSE_S", 20.0)
    collector.is_slow = True
    with sending(gateway, collector, sample=1.0) as export:
        gateway.serve(plan)
        await _ask(gateway, 1)
        collector.wait_for(lambda: collector.asked == 1)
        await _ask(gateway, 30, sampled=False)
        assert len(export._calls) == 4 and gateway.metrics.spans_lost == 26
        await _ask(gateway, 30)
        assert len(export._calls) == 8 and gateway.metrics.spans_lost == 52, "traces that others began go first"
        collector.ends.set()
    assert len(collector.spans()) == (1 + 8) * 5 and gateway.metrics.spans_lost == 52


async def test_one_that_never_answers_does_not_hold_up_the_end(
    gateway: Gateway, plan: LoadedPlan, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    monkeypatch.setattr(export_module, "CUT_S", 0.05)
    collector.is_slow = True
    with sending(gateway, collector):
        gateway.serve(plan)
        await _ask(gateway, 1)
        collector.wait_for(lambda: collector.asked == 1)
    assert collector.spans() == []
