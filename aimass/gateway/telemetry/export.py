"""Spans on their way to the collector: a bounded queue and a thread. Whatever the collector does, nobody waits."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from random import SystemRandom
from typing import Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from aimass.gateway.metrics import Metrics
from aimass.gateway.telemetry.spans import Finished, spans_of

CALLS_HELD = 2048
CALLS_SENT = 256  # in one request
REST_S = 1.0
CLOSE_S = 2.0

_log = logging.getLogger(__name__)


class Exporter(Protocol):
    """OpenTelemetry's own OTLP exporter, as far as it is used here."""

    def export(self, spans: list[ReadableSpan]) -> SpanExportResult: ...

    def shutdown(self) -> None: ...


class SpanExport:
    """``offer`` is for one event loop. Calls whose spans never left, for want of room or a collector, are counted."""

    def __init__(self, exporter: Exporter, source: Resource, metrics: Metrics) -> None:
        self._exporter = exporter
        self._source = source
        self._calls: deque[Finished] = deque()
        self._wake = threading.Event()
        self._ends = threading.Event()
        self._is_failing = False
        self._new_id: Callable[[], int] = lambda: SystemRandom().getrandbits(64) or 1
        self._metrics = metrics
        self._counting = threading.Lock()  # both threads lose calls
        self._thread = threading.Thread(target=self._run, name="aimass-spans", daemon=True)
        self._thread.start()

    def offer(self, call: Finished) -> None:
        """Send its spans if there is room."""
        if len(self._calls) >= CALLS_HELD:
            self._lose(1)
            return
        self._calls.append(call)
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Send what is left, if the collector takes it soon, and end."""
        self._ends.set()
        self._wake.set()
        self._thread.join(CLOSE_S)
        self._exporter.shutdown()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(REST_S)
            self._wake.clear()
            is_last = self._ends.is_set()
            while self._calls:
                self._send()

    def _send(self) -> None:
        calls = [self._calls.popleft() for _ in range(min(CALLS_SENT, len(self._calls)))]
        try:
            spans = [span for call in calls for span in spans_of(call, self._source, self._new_id)]
            failed = self._exporter.export(spans) is not SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - nobody else would hear of it, and the next spans must go on
            _log.exception("spans went wrong; those that come are sent")
            failed = True
        if failed:
            self._lose(len(calls))
            if not self._is_failing:
                _log.warning("the collector took no spans; calls go on without, and later ones are sent")
        self._is_failing = failed

    def _lose(self, calls: int) -> None:
        with self._counting:
            self._metrics.spans_lost += calls
