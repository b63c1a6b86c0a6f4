"""A collector of OTLP over HTTP for tests: takes what the exporter sends, and decodes it."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

LOOK = threading.Event()  # never set
ROUNDED_NS = 2000  # times since 1970 as floats of seconds


@dataclass
class Collector:
    """``status`` is what it answers from now on, ``first`` what it answers before that, once each; with ``is_slow`` it
    answers when it ends."""

    url: str
    status: int = 200
    first: list[int] = field(default_factory=list)
    is_slow: bool = False
    ends: threading.Event = field(default_factory=threading.Event)
    asked: int = 0
    requests: list[Any] = field(default_factory=list)

    def spans(self) -> list[Any]:
        """All that came, in order."""
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def trace(self, trace_id: str) -> "dict[str, Any]":
        """The spans of one trace, by their names."""
        return {span.name: span for span in self.spans() if span.trace_id.hex() == trace_id}

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        for _ in range(2000):
            if is_so():
                return
            LOOK.wait(0.005)
        raise AssertionError(f"it did not come to that within 10 s: {self.requests}")


def said(thing: Any) -> dict[str, Any]:
    """The attributes of a span, event or resource."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in thing.attributes}


def check_tree(spans: list[Any]) -> Any:
    """Each span lies below another of them and within its time, but for one, which is given."""
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    tops = [span for span in spans if span.parent_span_id not in by_id]
    for span in spans:
        above = by_id.get(span.parent_span_id, span)
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        assert above.start_time_unix_nano - ROUNDED_NS <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= above.end_time_unix_nano + ROUNDED_NS, (above.name, span.name)
        for event in span.events:
            assert span.start_time_unix_nano - ROUNDED_NS <= event.time_unix_nano
            assert event.time_unix_nano <= span.end_time_unix_nano + ROUNDED_NS, (span.name, event.name)
    (top,) = tops
    return top


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.asked += 1
            if collector.is_slow:
                collector.ends.wait()
            status = collector.first.pop(0) if collector.first else collector.status
            if self.path == "/v1/traces" and status == 200:
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(status)
            if status == 503:
                self.send_header("retry-after", "0")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.ends.set()
        server.shutdown()
        server.server_close()
        thread.join()
