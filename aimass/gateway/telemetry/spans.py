"""A finished call as OpenTelemetry's spans: the call itself, and below it reading, waiting, its run with the nodes,
and writing. Made from what the request log says too, after the answer."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

import aimass
from aimass.core.events import Trace
from aimass.gateway.telemetry.conventions import attributes, is_ours, title
from aimass.gateway.telemetry.timing import NodeTime, node_times
from aimass.gateway.telemetry.traceparent import Parent

SCOPE = InstrumentationScope("aimass", aimass.__version__)


@dataclass(frozen=True, slots=True)
class Finished:
    """A call that was answered or refused."""

    trace: Trace
    parent: Parent
    ended_s: float  # seconds since 1970 UTC
    is_pinned: bool = False  # its path names the revision


class Source:
    """Who sends the spans, and where it listens. What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say holds."""

    def __init__(self, replica: str, scheme: str, host: str, ports: Mapping[str, int]) -> None:
        own = {"service.name": "aimass", "service.version": aimass.__version__, "service.instance.id": replica}
        self.resource = Resource(own).merge(OTELResourceDetector().detect())
        self.scheme = scheme
        self.host = host
        self.ports = ports


def spans_of(call: Finished, source: Source, new_id: Callable[[], int]) -> list[ReadableSpan]:
    """The call's span first. When each stage began follows from their order."""
    trace, parent = call.trace, call.parent
    begin = call.ended_s - trace.total_s
    state = TraceState.from_header([parent.state]) if parent.state else None

    def context(span_id: int, is_remote: bool = False) -> SpanContext:
        return SpanContext(parent.trace_id, span_id, is_remote, TraceFlags(TraceFlags.SAMPLED), state)

    def span(name: str, at: float, seconds: float, above: SpanContext | None, **more: Any) -> ReadableSpan:
        return ReadableSpan(
            name=name,
            context=context(new_id()),
            parent=above,
            resource=source.resource,
            instrumentation_scope=SCOPE,
            start_time=round(at * 1e9),
            end_time=round((at + seconds) * 1e9),
            **more,
        )

    root = span(
        title(trace, call.is_pinned),
        begin,
        trace.total_s,
        context(parent.span_id, is_remote=True) if parent.span_id else None,
        kind=SpanKind.SERVER,
        attributes=attributes(trace, call.is_pinned, source.scheme, source.host, source.ports),
        status=Status(StatusCode.ERROR, trace.error) if is_ours(trace) else Status(StatusCode.UNSET),
    )
    found = [root]
    for name, at, seconds in _stages(trace, begin):
        stage = span(name, at, seconds, root.context)
        found.append(stage)
        if name == "run":
            found += [_node(span, at, stage.context, node) for node in node_times(trace)]
    return found


def _stages(trace: Trace, begin: float) -> Iterator[tuple[str, float, float]]:
    """(name, beginning, seconds) of a call that ran; one that was refused has none. Of one that failed while it ran, no
    more than its run is known."""
    named = [(name, getattr(trace, f"{name}_s")) for name in ("decode", "queue", "run", "encode")]
    known = sum(seconds for _, seconds in named)
    at = begin + max(0.0, trace.total_s - known)  # before: the body on its way
    for name, seconds in named:
        if seconds or (known and not trace.error):
            yield name, at, seconds
        at += seconds


def _node(span: Callable[..., ReadableSpan], at: float, above: SpanContext, node: NodeTime) -> ReadableSpan:
    told = [
        Event(what, {"aimass.detail": detail} if detail else {}, round((at + when) * 1e9))
        for when, what, detail in node.events
    ]
    more: dict[str, Any] = {"attributes": {"aimass.node": node.name}, "events": told}
    if node.failure:
        more["attributes"]["error.type"] = node.failure
        more["status"] = Status(StatusCode.ERROR)
    return span(f"node {node.name}", at + node.at_s, node.seconds, above, **more)
