"""A finished call as OpenTelemetry's spans: the call itself, and below it reading, waiting, its run with the nodes,
and writing. Made from what the request log says too, after the answer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

import aimass
from aimass.core.events import Trace
from aimass.gateway.telemetry.traceparent import Parent

SCOPE = InstrumentationScope("aimass", aimass.__version__)
BESIDE = 1.05  # nodes whose times add up to more than that part of their run ran beside each other


@dataclass(frozen=True, slots=True)
class Finished:
    """A call that was answered or refused."""

    trace: Trace
    parent: Parent
    ended_s: float  # seconds since 1970 UTC


def resource(replica: str) -> Resource:
    """Who sends the spans."""
    return Resource({"service.name": "aimass", "service.version": aimass.__version__, "service.instance.id": replica})


def spans_of(call: Finished, source: Resource, new_id: Callable[[], int]) -> list[ReadableSpan]:
    """The call's span first. When each stage began follows from their order; nodes stand one behind the other where
    that fits into their run, else (they ran beside each other) all at its beginning."""
    trace, end = call.trace, call.ended_s
    begin = end - trace.total_s

    def span(name: str, at: float, seconds: float, above: SpanContext, **more: Any) -> ReadableSpan:
        return ReadableSpan(
            name=name,
            context=_context(call.parent.trace_id, new_id(), is_remote=False),
            parent=above,
            resource=source,
            instrumentation_scope=SCOPE,
            start_time=round(at * 1e9),
            end_time=round((at + seconds) * 1e9),
            **more,
        )

    caller = _context(call.parent.trace_id, call.parent.span_id, is_remote=True)
    root = span(
        f"infer {trace.service}".rstrip(),
        begin,
        trace.total_s,
        caller,
        kind=SpanKind.SERVER,
        attributes=_attributes(trace),
        status=_status(trace),
    )
    found = [root]
    for name, seconds, at in _stages(trace, begin):
        stage = span(name, at, seconds, root.context)
        found.append(stage)
        if name == "run":
            named = [(node, seconds, {"aimass.node": node}) for node, seconds in trace.node_s.items()]
            starts = _starts(at, [took for _, took, _ in named], seconds)
            found += [
                span(f"node {node}", start, took, stage.context, attributes=about)
                for (node, took, about), start in zip(named, starts, strict=True)
            ]
    return found


def _context(trace_id: int, span_id: int, is_remote: bool) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote, TraceFlags(TraceFlags.SAMPLED))


def _stages(trace: Trace, begin: float) -> Iterator[tuple[str, float, float]]:
    """Of a call that ran; one that was refused has none."""
    named = [(name, getattr(trace, f"{name}_s")) for name in ("decode", "queue", "run", "encode")]
    known = sum(seconds for _, seconds in named)
    if not known:
        return
    at = begin + max(0.0, trace.total_s - known)  # before: the body on its way
    for name, seconds in named:
        yield name, seconds, at
        at += seconds


def _starts(at: float, took: list[float], run_s: float) -> list[float]:
    if sum(took) > BESIDE * run_s:
        return [at] * len(took)
    return [at + before for before in accumulate(took[:-1], initial=0.0)] if took else []


def _attributes(trace: Trace) -> dict[str, str | int]:
    said: dict[str, str | int] = {
        "aimass.request_id": trace.request_id,
        "aimass.service": trace.service,
        "aimass.revision": trace.revision,
        "aimass.plan": trace.plan,
        "aimass.protocol": trace.protocol,
        "aimass.rows": trace.rows,
        "http.response.status_code": trace.status,
    }
    if trace.degraded:
        said["aimass.degraded"] = trace.degraded
    if trace.error:
        said["error.type"] = str(trace.status)
    return said


def _status(trace: Trace) -> Status:
    """A caller's mistake is no error of the server (semantic conventions for HTTP spans)."""
    return Status(StatusCode.ERROR, trace.error) if trace.status >= 500 else Status(StatusCode.UNSET)
