"""Spans on their way to the collector: a bounded queue and a thread. Whatever the collector does, nobody waits."""

import logging
import threading
from collections import deque
from random import Random
from time import monotonic, thread_time
from typing import Protocol

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from aimass.gateway.metrics import Metrics
from aimass.gateway.telemetry.spans import Finished, Source, spans_of
from aimass.gateway.telemetry.traceparent import Parent

CALLS_HELD = 2048
ROOTS_HELD = CALLS_HELD // 2  # traces that others have begun come first
CALLS_SENT = 64  # in one request: some 7 ms of making spans, while which the event loop gets the interpreter in turns
REST_S = 1.0
SHARE = 0.1  # of a core, at most: spans are made in the process that answers calls
CLOSE_S = 2.0
CUT_S = 0.5  # more, once it was cut off
SAY_S = 600.0  # what went wrong is said once in so long
EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

_log = logging.getLogger(__name__)


class Exporter(Protocol):
    """OpenTelemetry's own OTLP exporter, as far as it is used here."""

    def export(self, spans: list[ReadableSpan]) -> SpanExportResult: ...

    def shutdown(self) -> None: ...


class SpanExport:
    """``has_room`` and ``offer`` are for one event loop. Calls whose spans never left, for want of room or of a
    collector, are counted. OpenTelemetry's own exporter sends them, and tries again, as its protocol and its
    OTEL_EXPORTER_OTLP_… variables say."""

    def __init__(self, endpoint: str, source: Source, metrics: Metrics) -> None:
        self._exporter: Exporter = OTLPSpanExporter(endpoint=endpoint)
        self._said = _Said()
        logging.getLogger(EXPORTER).addFilter(self._said)
        self._source = source
        self._calls: deque[Finished] = deque()
        self._wake = threading.Event()
        self._ends = threading.Event()
        self._say_at = 0.0
        self._bits = Random().getrandbits
        self._metrics = metrics
        self._counting = threading.Lock()  # both threads lose calls
        self._thread = threading.Thread(target=self._run, name="aimass-spans", daemon=True)
        self._thread.start()

    def has_room(self, parent: Parent) -> bool:
        """Whether the spans of a call below it would be taken; else they are lost."""
        if len(self._calls) < (CALLS_HELD if parent.span_id else ROOTS_HELD):
            return True
        self._lose(1)
        return False

    def offer(self, call: Finished) -> None:
        """Send its spans."""
        self._calls.append(call)
        if len(self._calls) >= CALLS_SENT and not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Send what is left, if the collector takes it soon, and end."""
        self._ends.set()
        self._wake.set()
        self._thread.join(CLOSE_S)
        self._exporter.shutdown()
        self._thread.join(CUT_S)
        logging.getLogger(EXPORTER).removeFilter(self._said)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(REST_S)
            self._wake.clear()
            is_last = self._ends.is_set()
            while self._calls:
                began = thread_time()
                self._send()
                self._ends.wait((thread_time() - began) * (1 / SHARE - 1))
                if len(self._calls) < CALLS_SENT and not self._ends.is_set():
                    break  # fewer go together a second later

    def _send(self) -> None:
        calls = [self._calls.popleft() for _ in range(min(CALLS_SENT, len(self._calls)))]
        why, self._said.first = "", ""
        try:
            spans = [span for call in calls for span in spans_of(call, self._source, self._new_id)]
            if self._exporter.export(spans) is not SpanExportResult.SUCCESS:
                why = self._said.first or "it did not say why"
        except Exception as error:  # noqa: BLE001 - nobody else would hear of it, and the next spans must go on
            why = f"{type(error).__name__}: {error}"
        if why:
            self._lose(len(calls))
            self._say(why)

    def _new_id(self) -> int:
        return self._bits(64) or 1

    def _say(self, why: str) -> None:
        if monotonic() >= self._say_at:
            self._say_at = monotonic() + SAY_S
            _log.warning(
                "the collector at AIMASS_OTLP_ENDPOINT took no spans (%s); calls go on, and lost ones are counted in "
                "aimass_spans_lost_total", why
            )  # fmt: skip

    def _lose(self, calls: int) -> None:
        with self._counting:
            self._metrics.spans_lost += calls


class _Said(logging.Filter):
    """Keeps what the exporter complained of first, for our one line instead of a line for each try."""

    first = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.first = self.first or record.getMessage()
        return False
