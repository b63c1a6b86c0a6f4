"""A gateway whose spans go to a collector, and a caller's own span."""

from collections.abc import Iterator
from contextlib import contextmanager

from aimass.core.settings import Settings
from aimass.gateway.telemetry.export import SpanExport
from aimass.gateway.telemetry.watching import open_spans
from aimass.testing.gateway import Gateway
from tests.gateway.telemetry.collector import Collector

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


@contextmanager
def exporting(gateway: Gateway, url: str, sample: float = 0.0) -> Iterator[SpanExport]:
    """Calls to the gateway are sent; all of them were once the block has ended. To be opened before it serves."""
    settings = Settings(home=gateway.app._settings.home, otlp_endpoint=url, otlp_sample=sample)
    export = open_spans(gateway.app, settings, "replica", gateway.metrics, gateway.clock)
    assert export is not None
    try:
        yield export
    finally:
        export.close()


@contextmanager
def sending(gateway: Gateway, collector: Collector, sample: float = 0.0) -> Iterator[SpanExport]:
    """To a collector that is there."""
    with exporting(gateway, collector.url, sample) as export:
        yield export
