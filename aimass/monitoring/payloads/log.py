"""What a replica keeps of its calls until they lie on disk: bounded, written by a thread, waited for by nobody."""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

from aimass.core.batch import Batch
from aimass.core.errors import AimassError
from aimass.core.events import Trace
from aimass.core.home import Home
from aimass.monitoring.payloads import record
from aimass.monitoring.payloads.cleaning import Cleaned
from aimass.monitoring.payloads.payload import Payload
from aimass.monitoring.payloads.secrets import Private, Secrets
from aimass.monitoring.payloads.spill import FOLDER, Spill

CALLS_HELD = 10_000
BYTES_HELD = 64 * 1024 * 1024
CALL_BYTES = 8 * 1024 * 1024  # a larger call is not kept: its bytes would push hundreds of others out
CHUNK_BYTES = 256 * 1024  # of one write
REST_S = 0.1  # a wake-up for each call would take the interpreter from the event loop as often
AGAIN_S = 1.0  # after the disk has refused
CLOSE_S = 2.0

LARGE, MEMORY, DISK, RATE = "large", "memory", "disk", "rate"  # why a call was dropped

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """A call as the event loop hands it over; its arrays are changed by nobody any more."""

    trace: Trace
    at: float  # seconds since 1970 UTC
    probability: float
    private: Private
    inputs: Batch
    outputs: Batch
    size_bytes: int


def open_log(home: Home, replica: str, dropped: dict[tuple[str, ...], float]) -> "PayloadLog":
    """A replica's own."""
    spill, secrets = Spill(home.payloads / FOLDER, replica), Secrets(home.payload_key_file)
    return PayloadLog(spill, secrets, Cleaned(home.payloads), dropped)


class PayloadLog:
    """``offer`` and ``drop`` are for one event loop; a thread of its own does the rest. ``dropped`` counts by service
    and reason."""

    def __init__(self, spill: Spill, secrets: Secrets, cleaned: Cleaned, dropped: dict[tuple[str, ...], float]) -> None:
        self._spill = spill
        self._secrets = secrets
        self._cleaned = cleaned
        self._dropped = dropped
        self._calls: deque[Taken] = deque()
        self._bytes_in = 0  # of the event loop
        self._bytes_out = 0  # of the thread
        self._pending: list[bytes] = []  # records that the disk has not taken yet
        self._pending_bytes = 0  # as their calls were counted
        self._is_refused = False
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def offer(self, taken: Taken) -> None:
        """Keep a call if there is room."""
        if taken.size_bytes > CALL_BYTES:
            self.drop(taken.trace.service, LARGE)
        elif len(self._calls) >= CALLS_HELD or self.held_bytes + taken.size_bytes > BYTES_HELD:
            self.drop(taken.trace.service, DISK if self._is_refused else MEMORY)
        else:
            self._bytes_in += taken.size_bytes
            self._calls.append(taken)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aimass-payloads", daemon=True)
                self._thread.start()

    def drop(self, service: str, reason: str) -> None:
        """A call that will not be kept."""
        labels = (service, reason)
        self._dropped[labels] = self._dropped.get(labels, 0) + 1

    @property
    def held_bytes(self) -> int:
        """Of calls that do not lie on disk yet."""
        return self._bytes_in - self._bytes_out

    def close(self) -> None:
        """Write what is left, if the disk takes it soon, and end."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._ends.wait(AGAIN_S if self._is_refused else REST_S)
            try:
                self._write_all()
                self._spill.end_part(is_due=is_last or self._cleaned.is_new())
            except (OSError, AimassError) as error:
                if not self._is_refused:
                    _log.warning("payloads are not kept, and will be again once that is mended: %s", error)
                self._is_refused = True
            except Exception:  # noqa: BLE001 - nobody else would hear of it, and all that follows would be missing
                _log.exception("payloads went wrong; those that come are kept")

    def _write_all(self) -> None:
        while self._calls or self._pending:
            while self._calls and self._pending_bytes < CHUNK_BYTES:
                self._encode(self._calls[0])
                self._calls.popleft()
                time.sleep(0)  # the event loop may want the interpreter, and would wait 5 ms for it
            self._spill.append(self._pending)
            self._bytes_out += self._pending_bytes
            self._pending, self._pending_bytes, self._is_refused = [], 0, False

    def _encode(self, taken: Taken) -> None:
        try:
            self._pending.append(record.encode(self._payload(taken)))
        except (OSError, AimassError):
            raise  # the key cannot be written or read: nothing is kept until it can
        except Exception:  # noqa: BLE001 - one call must not keep all others from the disk
            _log.exception("request %s was not kept", taken.trace.request_id)
        self._pending_bytes += taken.size_bytes

    def _payload(self, taken: Taken) -> Payload:
        trace, private = taken.trace, taken.private
        call = (trace.request_id, trace.service, taken.at)
        columns = [
            self._secrets.column(name, is_input, array, call, private)
            for is_input, batch in ((True, taken.inputs), (False, taken.outputs))
            for name, array in batch.items()
        ]
        stages = ("decode", "queue", "run", "encode", "total")
        return Payload(
            request_id=trace.request_id,
            at=round(taken.at, 6),
            service=trace.service,
            revision=trace.revision,
            status=trace.status,
            probability=taken.probability,
            plan=trace.plan,
            protocol=trace.protocol,
            client_id=trace.client_id,
            key_id=trace.key_id,
            account=trace.account,
            error=trace.error,
            degraded=trace.degraded,
            rows=trace.rows,
            us={stage: round(getattr(trace, f"{stage}_s") * 1e6) for stage in stages},
            nodes_us={name: round(seconds * 1e6) for name, seconds in trace.node_s.items()},
            columns=tuple(columns),
        )
