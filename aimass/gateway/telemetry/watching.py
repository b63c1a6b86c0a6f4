"""Hands calls whose traces are sampled to the export of spans; where none is set up, nothing looks on."""

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from aimass.core.clock import Clock
from aimass.core.events import Trace
from aimass.core.settings import Settings
from aimass.gateway.app import GatewayApp
from aimass.gateway.infer import Call, Job, trace_of
from aimass.gateway.metrics import Metrics
from aimass.gateway.routes import Target
from aimass.gateway.telemetry.sampling import Sampler

if TYPE_CHECKING:
    from aimass.gateway.telemetry.export import SpanExport
    from aimass.gateway.telemetry.traceparent import Parent

PATH = "/v1/traces"
INFERENCES = ("infer", "embed")


def open_spans(
    app: GatewayApp, settings: Settings, replica: str, metrics: Metrics, clock: Clock
) -> "SpanExport | None":
    """A replica's export, put into its app; to be closed at its end. None where the platform sends no spans."""
    if settings.otlp_endpoint is None:
        return None
    from aimass.gateway.telemetry.export import SpanExport
    from aimass.gateway.telemetry.spans import Source

    source = Source(replica, settings.scheme, settings.host, {"http": settings.port, "grpc": settings.grpc_port})
    export = SpanExport(settings.otlp_endpoint.rstrip("/") + PATH, source, metrics)
    watching = SpanWatching(export, Sampler(settings.otlp_sample, Random()), clock)
    app.watching, app.unplaced = (*app.watching, watching), (*app.unplaced, watching)
    return export


class SpanWatching:
    """Of all revisions; itself the watcher of each, and of calls that came to none."""

    def __init__(self, export: "SpanExport", sampler: Sampler, clock: Clock) -> None:
        self._export = export
        self._find = sampler.find
        self._clock = clock

    def watcher(self, target: Target) -> "SpanWatching":
        return self

    def answered(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            parent = self._find(job.call.headers)
            if parent is not None and self._export.has_room(parent):
                self._offer(job.call, trace_of(job), parent)

    def failed(self, call: Call, status: int, error: str) -> None:
        endpoint, target = call.endpoint, call.target
        if endpoint is not None and endpoint.verb not in INFERENCES:
            return
        parent = self._find(call.headers)
        if parent is None or not self._export.has_room(parent):
            return
        service = endpoint.service.name if endpoint is not None and endpoint.service is not None else ""
        trace = Trace(call.request_id, call.codec.protocol, service=service, status=status, error=error)
        if target is not None:
            trace.revision, trace.plan = target.revision, target.plan.plan
        trace.rows = call.request.rows if call.request is not None else 0
        trace.total_s = self._clock.monotonic() - call.started
        trace.follow(call.course)
        self._offer(call, trace, parent)

    def _offer(self, call: Call, trace: Trace, parent: "Parent") -> None:
        from aimass.gateway.telemetry.spans import Finished

        pinned = call.endpoint is not None and call.endpoint.target is not None
        self._export.offer(Finished(trace, parent, self._clock.now(), pinned))
