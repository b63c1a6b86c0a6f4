"""One call from its body to its answer: decode, run, encode, meter, count. Knows neither sockets nor paths."""

from collections.abc import Awaitable
from dataclasses import dataclass

from aimass.core.batch import Batch
from aimass.core.clock import Clock
from aimass.core.errors import Invalid, Timeout
from aimass.core.events import Trace
from aimass.gateway.admission import Key
from aimass.gateway.metrics import Metrics
from aimass.gateway.protocols.bodies import MIN_DEFLATED_BYTES, choose_encoding, deflate, inflate
from aimass.gateway.protocols.http import Header, Reply
from aimass.gateway.protocols.oip import InferRequest
from aimass.gateway.routes import Endpoint, Target
from aimass.metering.journal import Journal
from aimass.monitoring.recorder import Recorder
from aimass.serving.executor import Executor

Headers = dict[bytes, bytes]
HEADER_LENGTH = b"inference-header-content-length"


class Call:
    """A call whose caller may make it."""

    __slots__ = ("endpoint", "headers", "key", "received", "request_id", "started", "target")

    def __init__(self, started: float, headers: Headers, request_id: str) -> None:
        self.started = started  # monotonic seconds, at its head
        self.headers = headers
        self.request_id = request_id
        self.key: Key | None = None
        self.endpoint: Endpoint | None = None
        self.target: Target | None = None
        self.received = 0  # bytes of the body, as they came


@dataclass(frozen=True)
class Parts:
    """What a gateway replica works with."""

    clock: Clock
    journal: Journal
    recorder: Recorder
    metrics: Metrics
    executor: Executor


class Inference:
    """Runs calls. Errors pass through; the caller of ``run`` answers them."""

    def __init__(self, parts: Parts, max_body_bytes: int) -> None:
        self._now = parts.clock.monotonic
        self._time = parts.clock.now
        self._journal = parts.journal
        self._recorder = parts.recorder
        self._executor = parts.executor
        self._max_body_bytes = max_body_bytes

    def run(self, call: Call, target: Target, body: bytes) -> Reply | Awaitable[Reply]:
        """The answer; at once where the plan is short enough for the event loop."""
        now = self._now
        arrived = now()
        call.target = target
        headers = call.headers
        if b"content-encoding" in headers:
            body = inflate(body, headers[b"content-encoding"].decode("latin-1"), self._max_body_bytes)
        if HEADER_LENGTH in headers:
            request = target.reader.read_binary(body, _whole_number(headers, HEADER_LENGTH))
        else:
            request = target.reader.read(body)
        deadline = self._deadline(call, target, request)
        decoded = now()
        if decoded >= deadline:
            raise _late(target, "before it could run")
        if request.rows > target.plan.inline_rows:
            return self._run_long(call, target, request, deadline, (arrived, decoded))
        if target.traced:
            trace = Trace(call.request_id)
            outputs = target.plan.run(request.batch, trace)
            return self._answer(call, request, outputs, deadline, (arrived, decoded, 0.0, now(), trace.node_s))
        outputs = target.plan.run(request.batch)
        return self._answer(call, request, outputs, deadline, (arrived, decoded, 0.0, now(), None))

    async def _run_long(
        self, call: Call, target: Target, request: InferRequest, deadline: float, times: tuple[float, float]
    ) -> Reply:
        trace = Trace(call.request_id)
        series = target.series
        series.in_flight += 1
        try:
            limit = None if deadline == float("inf") else deadline
            outputs = await self._executor.submit(target.slot, target.plan, request.batch, request.rows, limit, trace)
        finally:
            series.in_flight -= 1
        stages = (*times, trace.queue_s, self._now(), trace.node_s or None)
        return self._answer(call, request, outputs, deadline, stages)

    def _answer(
        self,
        call: Call,
        request: InferRequest,
        outputs: Batch,
        deadline: float,
        stages: tuple[float, float, float, float, dict[str, float] | None],
    ) -> Reply:
        """Encode, then write the usage event down: what leaves after that has been metered."""
        arrived, decoded, queued, ran, nodes = stages
        target, key = call.target, call.key
        assert target is not None and key is not None
        if ran >= deadline:
            raise _late(target, "after it had run")
        body, header_bytes = target.answers.write(outputs, request.wanted, request.id)
        head = target.json_head
        extra: tuple[Header, ...] = ()
        if header_bytes:
            head, extra = target.binary_head, ((HEADER_LENGTH, b"%d" % header_bytes),)
        accepted = call.headers.get(b"accept-encoding")
        if accepted is not None and len(body) >= MIN_DEFLATED_BYTES:
            body, extra = _deflated(body, accepted, extra)
        ended = self._now()
        total = ended - call.started
        run_us = round((ran - decoded - queued) * 1e6)
        if nodes is None:
            node_us = f'{{"{target.plan.plan}":{run_us}}}'
        else:
            node_us = "{" + ",".join(f'"{name}":{seconds * 1e6:.0f}' for name, seconds in nodes.items()) + "}"
        journal = self._journal
        journal.seq += 1
        numbers = (journal.seq, self._time(), request.rows, call.received, len(body), round(total * 1e6))
        encoder = target.encoders.get(key.id) or target.encoder(key.id, key.account)
        journal.append(encoder.encode(numbers, call.request_id, request.id, node_us))
        target.series.answer(total, request.rows)
        if self._recorder.wants(ended):
            trace = _trace(call, target, request, key)
            trace.decode_s, trace.queue_s = decoded - arrived, queued
            trace.run_s, trace.encode_s, trace.total_s = ran - decoded - queued, ended - ran, total
            trace.bytes_out = len(body)
            trace.node_s = nodes or {}
            self._recorder.record(trace)
        return Reply(head, body, call.request_id, extra)

    def _deadline(self, call: Call, target: Target, request: InferRequest) -> float:
        """Monotonic seconds: the earliest of the service's limit, the caller's header and OIP's timeout."""
        allowed = target.deadline_s
        if request.timeout_us:
            allowed = min(allowed, request.timeout_us / 1e6)
        if b"x-aimass-deadline-ms" in call.headers:
            allowed = min(allowed, _whole_number(call.headers, b"x-aimass-deadline-ms") / 1e3)
        return call.started + allowed


def _trace(call: Call, target: Target, request: InferRequest, key: Key) -> Trace:
    return Trace(
        request_id=call.request_id,
        client_id=request.id,
        key_id=key.id,
        account=key.account,
        service=target.service,
        revision=target.revision,
        plan=target.plan.plan,
        rows=request.rows,
        bytes_in=call.received,
        status=200,
    )


def _deflated(body: bytes, accepted: bytes, extra: tuple[Header, ...]) -> tuple[bytes, tuple[Header, ...]]:
    encoding = choose_encoding(accepted)
    if not encoding:
        return body, extra
    return deflate(body, encoding), (*extra, (b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))


def _whole_number(headers: Headers, name: bytes) -> int:
    text = headers[name]
    if not text.isdigit() or len(text) > 18:
        raise Invalid(f"header {name.decode()} must be a whole number, not {text.decode('latin-1')!r}", name.decode())
    return int(text)


def _late(target: Target, when: str) -> Timeout:
    return Timeout(f"the deadline of this call to {target.service!r} passed {when}; allow it more time")
