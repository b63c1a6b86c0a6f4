"""Hands calls that belong to a sampled trace to the export of spans; the others cost the look at one header."""

from typing import TYPE_CHECKING

from aimass.core.clock import Clock
from aimass.core.events import Trace
from aimass.core.settings import Settings
from aimass.gateway.app import GatewayApp
from aimass.gateway.infer import Call, Job, trace_of
from aimass.gateway.metrics import Metrics
from aimass.gateway.routes import Target
from aimass.gateway.telemetry.traceparent import HEADER, read_traceparent

if TYPE_CHECKING:
    from aimass.gateway.telemetry.export import SpanExport

PATH = "/v1/traces"
SEND_S = 5.0  # a collector that takes longer loses what it was sent


def open_spans(
    app: GatewayApp, settings: Settings, replica: str, metrics: Metrics, clock: Clock
) -> "SpanExport | None":
    """A replica's export, put into its app; to be closed at its end. None where the platform sends no spans."""
    if settings.otlp_endpoint is None:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    from aimass.gateway.telemetry.export import SpanExport
    from aimass.gateway.telemetry.spans import resource

    endpoint = settings.otlp_endpoint.rstrip("/") + PATH
    export = SpanExport(OTLPSpanExporter(endpoint=endpoint, timeout=SEND_S), resource(replica), metrics)
    app.watching = (*app.watching, SpanWatching(export, clock))
    return export


class SpanWatching:
    """Of all revisions; itself the watcher of each."""

    def __init__(self, export: "SpanExport", clock: Clock) -> None:
        self._export = export
        self._clock = clock

    def watcher(self, target: Target) -> "SpanWatching":
        return self

    def answered(self, job: Job) -> None:
        value = job.call.headers.get(HEADER)
        if value is not None:
            self._offer(value, trace_of(job))

    def failed(self, call: Call, status: int, error: str) -> None:
        value, target = call.headers.get(HEADER), call.target
        if value is not None and target is not None:
            trace = Trace(call.request_id, call.codec.protocol, service=target.service, revision=target.revision)
            trace.plan, trace.status, trace.error = target.plan.plan, status, error
            trace.rows = call.request.rows if call.request is not None else 0
            trace.total_s = self._clock.monotonic() - call.started
            self._offer(value, trace)

    def _offer(self, value: bytes, trace: Trace) -> None:
        from aimass.gateway.telemetry.spans import Finished

        parent = read_traceparent(value)
        if parent is not None and parent.is_sampled:
            self._export.offer(Finished(trace, parent, self._clock.now()))
