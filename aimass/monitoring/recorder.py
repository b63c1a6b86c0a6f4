"""One JSON line per request, written off the hot path; answered requests sampled, errors always."""

from pathlib import Path
from typing import Any

import orjson

from aimass.core.clock import Clock
from aimass.core.events import Trace

FILE_BYTES = 32 * 1024 * 1024
FILES_KEPT = 4  # per replica, the one being written included
BUFFERED = 20_000  # records; beyond it (a disk that hangs) the oldest are dropped


class Recorder:
    """Keeps finished requests in memory until ``flush`` writes them. Used from one event loop; flushed anywhere."""

    def __init__(self, folder: Path, replica: str, per_s: float, clock: Clock) -> None:
        self._folder = folder
        self._replica = replica
        self._per_s = per_s
        self._clock = clock
        self._tokens = per_s
        self._filled_at = clock.monotonic()
        self._buffer: list[tuple[float, Trace]] = []
        self._path = folder / f"requests-{replica}.jsonl"
        self.dropped = 0  # records that no line was written for: the disk hung, or refused them
        folder.mkdir(parents=True, exist_ok=True)

    def wants(self, now: float) -> bool:
        """Whether the answered request that ends now (monotonic seconds) is one of those to be written."""
        if self._tokens < 1:
            gained = (now - self._filled_at) * self._per_s
            if gained + self._tokens < 1:
                return False
            self._tokens = min(self._per_s, self._tokens + gained) if self._per_s >= 1 else 1.0
            self._filled_at = now
        self._tokens -= 1
        return True

    def record(self, trace: Trace) -> None:
        """Take a finished request."""
        if len(self._buffer) >= BUFFERED:
            self._buffer = self._buffer[BUFFERED // 2 :]
            self.dropped += BUFFERED // 2
        self._buffer.append((self._clock.now(), trace))

    def flush(self) -> int:
        """Append what was recorded since the last time; the number of lines. Errors of the disk pass through."""
        taken, self._buffer = self._buffer, []
        if not taken:
            return 0
        try:
            if self._path.exists() and self._path.stat().st_size >= FILE_BYTES:
                self._rotate()
            with self._path.open("ab") as file:
                file.write(b"".join(_line(at, self._replica, trace) for at, trace in taken))
        except OSError:
            self.dropped += len(taken)
            raise
        return len(taken)

    def _rotate(self) -> None:
        for index in range(FILES_KEPT - 1, 0, -1):
            older = self._path.with_suffix(f".{index}.jsonl")
            newer = self._path.with_suffix(f".{index - 1}.jsonl") if index > 1 else self._path
            if newer.exists():
                newer.replace(older)


def _line(at: float, replica: str, trace: Trace) -> bytes:
    record: dict[str, Any] = {
        "at": round(at, 6),
        "request_id": trace.request_id,
        "status": trace.status,
        "service": trace.service,
        "revision": trace.revision or None,
        "plan": trace.plan or None,
        "rows": trace.rows,
        "protocol": trace.protocol,
        "key_id": trace.key_id or None,
        "account": trace.account or None,
        "bytes_in": trace.bytes_in,
        "bytes_out": trace.bytes_out,
        "us": {
            "decode": round(trace.decode_s * 1e6),
            "queue": round(trace.queue_s * 1e6),
            "run": round(trace.run_s * 1e6),
            "encode": round(trace.encode_s * 1e6),
            "total": round(trace.total_s * 1e6),
            "nodes": {name: round(seconds * 1e6) for name, seconds in trace.node_s.items()},
        },
        "replica": replica,
    }
    if trace.course is not None:
        record["us"]["nodes_at"] = {name: round(at_s * 1e6) for name, at_s in trace.course.node_at_s.items()}
        if trace.course.events:
            record["events"] = [
                {"at_us": round(at_s * 1e6), "what": what, "node": node, "detail": detail}
                for at_s, what, node, detail in trace.course.events
            ]
    if trace.client_id:
        record["client_id"] = trace.client_id
    if trace.probability < 1:
        record["probability"] = trace.probability
    if trace.degraded:
        record["degraded"] = trace.degraded.split(",")
    if trace.error:
        record["kind"] = trace.error_kind
        record["error"] = trace.error
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
