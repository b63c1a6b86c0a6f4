"""Calls from their bodies to their answers: decode, run, encode, meter, count. Knows neither sockets nor paths, and
what is on the wire only through the codec of the door that a call came by.

Short calls that arrive together run together: their rows are one batch, their usage events one write. Nobody waits
for anybody: what came in one round of the event loop is what is there. A call of one row costs 5 µs in the runtime
when it follows another of its kind and 30 when it does not (its code has left the caches by then), so this is worth
more than anything else here.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from aimass.core.batch import Batch, concat, take
from aimass.core.clock import Clock
from aimass.core.errors import AimassError, Timeout
from aimass.core.events import Course, Trace
from aimass.gateway.admission import Key
from aimass.gateway.metrics import Metrics
from aimass.gateway.protocols.oip import InferRequest
from aimass.gateway.residency.asleep import Asleep, AsleepPlan
from aimass.gateway.routes import Endpoint, Target
from aimass.gateway.watching import tell
from aimass.metering.journal import Journal, unmetered
from aimass.monitoring.recorder import Recorder
from aimass.serving.engine.flow import Flow
from aimass.serving.engine.rounds import Passage, Rounds
from aimass.serving.executor import Executor
from aimass.serving.resilience.faults import is_passing, is_the_nodes

Headers = dict[bytes, bytes]
Answer = Any  # what a door sends; its codec makes it
TOGETHER_ROWS = 256  # rows that run as one: 64 kB of 64 features, well inside a core's cache


class Call:
    """A call whose caller may make it."""

    __slots__ = (
        "allowed_s",
        "body",
        "codec",
        "course",
        "endpoint",
        "headers",
        "key",
        "probability",
        "received",
        "request",
        "request_id",
        "started",
        "target",
    )

    def __init__(self, started: float, headers: Headers, request_id: str, codec: "Codec") -> None:
        self.started = started  # monotonic seconds, at its head
        self.headers = headers
        self.request_id = request_id
        self.codec = codec
        self.allowed_s: float | None = None  # by the door's own way to set a deadline
        self.key: Key | None = None
        self.endpoint: Endpoint | None = None
        self.target: Target | None = None
        self.probability = 1.0  # with which the revision was chosen for it
        self.request: InferRequest | None = None  # once it was read
        self.course: Course | None = None  # of its run through a flow, once that has ended
        self.received = 0  # bytes of the body, as they came
        self.body: Any = None  # of a call that is no inference


class Job:
    """A call that was decoded: what it asks of which revision, and what became of it. Times: monotonic seconds."""

    __slots__ = (
        "answer",
        "arrived",
        "call",
        "deadline",
        "decoded",
        "degraded",
        "error",
        "length",
        "nodes",
        "outputs",
        "queue_s",
        "ran",
        "request",
        "share",
        "size",
        "target",
        "total_s",
    )

    def __init__(self, call: Call, target: Target, request: InferRequest, arrived: float, decoded: float) -> None:
        self.call = call
        self.target = target
        self.request = request
        self.arrived = arrived
        self.decoded = decoded
        self.deadline = float("inf")
        self.queue_s = 0.0
        self.length = 0  # of its ragged inputs, before they were padded
        self.share = 1.0  # of the run that it was part of
        self.nodes: dict[str, float] | None = None
        self.outputs: Batch = {}
        self.ran = decoded
        self.degraded = ""  # nodes that the answer had to do without, joined by commas
        self.answer: Answer = None
        self.size = 0  # bytes of the answer
        self.total_s = 0.0
        self.error: Exception | None = None


class Codec(Protocol):
    """How a door reads calls and writes answers. Everything between is the same for all doors."""

    protocol: str  # as the request log names it
    turns: int
    """Turns of the event loop for which a call waits for others where the last one was not alone: more than none where
    a door hands out few calls a turn."""

    def read(self, call: Call, target: Target, body: Any, max_bytes: int) -> InferRequest:
        """What ``body`` asks for, checked; may set ``call.allowed_s``. Errors pass through."""

    def write(self, job: Job) -> tuple[Answer, int]:
        """The answer to a job that ran, and its size in bytes."""

    def refuse(self, error: AimassError, request_id: str, revision: int) -> tuple[Answer, int]:
        """The answer to an error of a revision (0: of none), and its size in bytes."""


@dataclass(frozen=True)
class Parts:
    """What a gateway replica works with."""

    clock: Clock
    journal: Journal
    recorder: Recorder
    metrics: Metrics
    executor: Executor


class Inference:
    """Runs calls."""

    def __init__(self, parts: Parts, max_body_bytes: int) -> None:
        self._clock = parts.clock
        self._now = parts.clock.monotonic
        self._time = parts.clock.now
        self._journal = parts.journal
        self._recorder = parts.recorder
        self._executor = parts.executor
        self._max_body_bytes = max_body_bytes
        self._rounds: WeakKeyDictionary[Target, Rounds] = WeakKeyDictionary()

    def prepare(self, call: Call, target: Target, body: Any) -> Job:
        """The call decoded and checked. Errors pass through."""
        arrived = self._now()
        call.target = target
        call.request = request = call.codec.read(call, target, body, self._max_body_bytes)
        job = Job(call, target, request, arrived, self._now())
        allowed = target.deadline_s
        if call.allowed_s is not None:
            allowed = min(allowed, call.allowed_s)
        if request.timeout_us:
            allowed = min(allowed, request.timeout_us / 1e6)
        job.deadline = call.started + allowed
        if job.decoded >= job.deadline:
            raise _late(target, "before it could run")
        return job

    @staticmethod
    def is_short(job: Job) -> bool:
        """Whether it may run on the event loop."""
        return job.request.rows <= job.target.plan.inline_rows and job.target.gate is None

    def run_short(self, jobs: list[Job]) -> list[Answer | Exception]:
        """The answers, or why there is none, in the same order. Calls to the same revision run together."""
        if len(jobs) == 1:
            self._run_together(jobs)
            return self._conclude(jobs)
        groups: dict[Target, list[Job]] = {}
        for job in jobs:
            groups.setdefault(job.target, []).append(job)
        for target, group in groups.items():
            for batch in _cut(group, min(TOGETHER_ROWS, target.plan.inline_rows)):
                self._run_together(batch)
        return self._conclude(jobs)

    @staticmethod
    def goes_on(job: Job, error: Exception) -> bool:
        """Whether a call that failed where it ran in one go may be answered without a node, or by another, or by waking
        the plan: by ``run_long``."""
        if isinstance(error, Asleep):
            return True
        return job.target.plan.flow is not None and is_the_nodes(error) and not is_passing(error)

    async def run_long(self, job: Job) -> Answer:
        """The answer of a call that must not hold up the event loop. Errors pass through. Cancelled, it stops what runs
        for nobody else, and is not metered."""
        gate = job.target.gate
        if gate is None:
            return await self._run_long(job)
        async with gate.turn(job.target.slot, None if job.deadline == float("inf") else job.deadline):
            return await self._run_long(job)

    async def _run_long(self, job: Job) -> Answer:
        target, job.error = job.target, None
        limit = None if job.deadline == float("inf") else job.deadline
        target.series.in_flight += 1  # from here on its plan stays in memory
        target.series.used_s = job.decoded
        try:
            if isinstance(target.plan, AsleepPlan):
                target.take(await target.plan.wake(target.limits.max_queue, limit))
            plan = target.plan
            if plan.padding is not None:
                job.request.batch, job.length = plan.padding.pad(job.request.batch)
            if plan.flow is not None:
                return await self._run_flow(job, plan.flow, limit)
            return await self._run_in_thread(job, limit)
        finally:
            target.series.in_flight -= 1

    async def _run_flow(self, job: Job, flow: Flow, limit: float | None) -> Answer:
        rounds = self._rounds.get(job.target)
        if rounds is None or rounds.flow is not flow:
            rounds = self._open(job.target, flow)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        passage = rounds.enter(job.request.batch, job.request.rows, limit, (job, future))
        try:
            return await future
        except asyncio.CancelledError:
            rounds.take_back(passage)
            raise

    def _open(self, target: Target, flow: Flow) -> Rounds:
        what, threads = f"service {target.service!r}", partial(self._executor.submit, target.slot)
        rounds = Rounds(what, flow, threads, self._clock, self._arrived, target.slot.rules)
        self._rounds[target] = rounds
        return rounds

    def _arrived(self, passages: list[Passage]) -> None:
        """Rows that went through a flow together are back: their events are one write."""
        now, jobs = self._now(), []
        for passage in passages:
            job: Job = passage.job[0]
            job.ran, job.queue_s, job.share = now, passage.began_s - job.decoded, passage.share
            job.outputs, job.error, job.nodes = passage.outputs, passage.error, passage.node_s
            job.degraded, job.call.course = ",".join(passage.missing), passage.course
            jobs.append(job)
        for passage, answer in zip(passages, self._conclude(jobs), strict=True):
            future = passage.job[1]
            if not future.done():
                future.set_exception(answer) if isinstance(answer, BaseException) else future.set_result(answer)

    async def _run_in_thread(self, job: Job, limit: float | None) -> Answer:
        target, request, trace = job.target, job.request, Trace(job.call.request_id)
        job.outputs = await self._executor.submit(target.slot, target.plan, request.batch, request.rows, limit, trace)
        job.ran, job.queue_s, job.nodes = self._now(), trace.queue_s, trace.node_s or None
        answer = self._conclude([job])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _run_together(self, jobs: list[Job]) -> None:
        target = jobs[0].target
        target.series.used_s = began = self._now()
        trace = Trace("") if target.traced else None
        try:
            if len(jobs) == 1:
                jobs[0].outputs = target.plan.run(jobs[0].request.batch, trace)
            else:
                _share_out(jobs, target.plan.run(concat([job.request.batch for job in jobs]), trace))
        except Exception as error:  # noqa: BLE001 - one caller's rows must not fail another's
            if len(jobs) == 1:
                jobs[0].error = error
                return
            for job in jobs:
                self._run_together([job])
            return
        ran = self._now()
        for job in jobs:
            job.queue_s, job.ran = began - job.decoded, ran
            if trace is not None:
                job.nodes = trace.node_s

    def _conclude(self, jobs: list[Job]) -> list[Answer | Exception]:
        """Encode, then write all usage events down at once: what leaves after that has been metered. Where the disk
        takes only the first of them, the other calls have failed."""
        events = []
        metered = []
        for job in jobs:
            if job.error is None:
                try:
                    events.append(self._encode(job))
                    metered.append(job)
                except Exception as error:  # noqa: BLE001 - one caller's answer must not fail another's
                    job.error = error
        if events:
            try:
                whole = self._journal.append(b"".join(events))
                for job in metered[whole:]:
                    job.error = unmetered("the disk is full")
            except AimassError as error:
                for job in metered:
                    job.error = error
        tell([job for job in jobs if job.error is None])
        return [self._reply(job) if job.error is None else job.error for job in jobs]

    def _encode(self, job: Job) -> bytes:
        """Set the answer; give its usage event."""
        call, target, request = job.call, job.target, job.request
        if job.ran >= job.deadline:
            raise _late(target, "after it had run")
        if job.length and target.plan.padding is not None:
            job.outputs = target.plan.padding.cut(job.outputs, job.length)
        job.answer, job.size = call.codec.write(job)
        job.total_s = self._now() - call.started
        key, journal = call.key, self._journal
        assert key is not None
        journal.seq += 1
        numbers = (journal.seq, self._time(), request.rows, call.received, job.size, round(job.total_s * 1e6))
        encoder = target.encoders.get(key.id) or target.encoder(key.id, key.account)
        return encoder.encode(numbers, call.request_id, request.id, _node_us(job))

    def _reply(self, job: Job) -> Answer:
        call, target = job.call, job.target
        target.series.answer(job.total_s, job.request.rows)
        if job.degraded:
            target.series.degraded += 1
        if self._recorder.wants(call.started + job.total_s):
            self._recorder.record(trace_of(job))
        return job.answer


def _cut(jobs: list[Job], rows: int) -> list[list[Job]]:
    """In pieces of at most so many rows, or of one call."""
    pieces: list[list[Job]] = []
    left = 0
    for job in jobs:
        if job.request.rows > left or not pieces:
            pieces.append([])
            left = rows
        pieces[-1].append(job)
        left -= job.request.rows
    return pieces


def _share_out(jobs: list[Job], outputs: Batch) -> None:
    total = sum(job.request.rows for job in jobs)
    at = 0
    for job in jobs:
        rows = job.request.rows
        job.outputs = take(outputs, at, at + rows)
        job.share = rows / total
        at += rows


def _node_us(job: Job) -> str:
    """The run's µs by node as JSON; of a run together, this call's part by its rows."""
    if job.nodes is None:
        run_s = job.ran - job.decoded - job.queue_s
        return f'{{"{job.target.plan.plan}":{run_s * job.share * 1e6:.0f}}}'
    parts = [f'"{name}":{seconds * job.share * 1e6:.0f}' for name, seconds in job.nodes.items()]
    return "{" + ",".join(parts) + "}"


def trace_of(job: Job) -> Trace:
    """What is known about an answered call."""
    call, target, request, key = job.call, job.target, job.request, job.call.key
    assert key is not None
    return Trace(
        request_id=call.request_id,
        protocol=call.codec.protocol,
        client_id=request.id,
        key_id=key.id,
        account=key.account,
        service=target.service,
        revision=target.revision,
        plan=target.plan.plan,
        rows=request.rows,
        bytes_in=call.received,
        bytes_out=job.size,
        status=200,
        decode_s=job.decoded - job.arrived,
        queue_s=job.queue_s,
        run_s=job.ran - job.decoded - job.queue_s,
        encode_s=call.started + job.total_s - job.ran,
        total_s=job.total_s,
        node_s=job.nodes or {},
        degraded=job.degraded,
        probability=call.probability,
        course=call.course,
    )


def _late(target: Target, when: str) -> Timeout:
    return Timeout(f"the deadline of this call to {target.service!r} passed {when}; allow it more time")
