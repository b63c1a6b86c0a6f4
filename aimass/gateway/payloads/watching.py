"""Hands calls to the payload log: a sample of the answered ones by their ids, and those that failed, up to a rate."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from weakref import WeakKeyDictionary

from aimass.core.batch import Array, Batch, size_of
from aimass.core.clock import Clock
from aimass.core.events import Trace
from aimass.core.home import Home
from aimass.gateway.app import GatewayApp
from aimass.gateway.infer import Call, Job, trace_of
from aimass.gateway.metrics import Metrics
from aimass.gateway.routes import Target
from aimass.monitoring.payloads.log import RATE, PayloadLog, Taken, open_log
from aimass.monitoring.payloads.secrets import Private

ERRORS_PER_S = 20.0  # of one revision in one replica
COPIED_BYTES = 64 * 1024  # up to here a copy costs less than what it may be a view of
PERSON = b"aimass payloads"  # a place of its own, so that the sample has nothing to do with who got which revision


def open_payloads(app: GatewayApp, home: Home, replica: str, metrics: Metrics, clock: Clock) -> PayloadLog:
    """A replica's payload log, put into its app; to be closed at its end."""
    log = open_log(home, replica, metrics.payloads_dropped)
    app.watching = (*app.watching, PayloadWatching(log, clock))
    return log


class PayloadWatching:
    """Of all revisions; those whose documents keep nothing cost nothing."""

    def __init__(self, log: PayloadLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._watchers: WeakKeyDictionary[Target, PayloadWatcher] = WeakKeyDictionary()

    def watcher(self, target: Target) -> "PayloadWatcher | None":
        if target.payloads is None:
            return None
        known = self._watchers.get(target)
        if known is None:
            known = self._watchers[target] = PayloadWatcher(target, self._log, self._clock)
        return known


class PayloadWatcher:
    """Of one revision."""

    def __init__(self, target: Target, log: PayloadLog, clock: Clock) -> None:
        said: Any = target.payloads
        self._service = target.service
        self._sample = float(said["sample"])
        self._private = Private.of(said["private"]["mask"], said["private"]["encrypt"])
        self._ragged = {spec.name: spec.ragged.axis for spec in target.signature.inputs if spec.ragged is not None}
        self._log = log
        self._clock = clock
        self._tokens = ERRORS_PER_S
        self._filled_at = clock.monotonic()

    def answered(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if place(job.call.request_id) < self._sample:
                self._offer(job.call, trace_of(job), self._sent(job), job.outputs)

    def failed(self, call: Call, status: int, error: str) -> None:
        if not self._may_fail():
            self._log.drop(self._service, RATE)
            return
        target, request = call.target, call.request
        assert target is not None
        trace = Trace(call.request_id, call.codec.protocol, service=target.service, revision=target.revision)
        trace.plan, trace.status, trace.error = target.plan.plan, status, error
        trace.key_id, trace.account = (call.key.id, call.key.account) if call.key else ("", "")
        trace.total_s = self._clock.monotonic() - call.started
        if request is not None:
            trace.client_id, trace.rows = request.id, request.rows
        known = request is not None and not self._ragged  # of these it is not known how long they were before padding
        self._offer(call, trace, request.batch if request is not None and known else {}, {})

    def _offer(self, call: Call, trace: Trace, inputs: Batch, outputs: Batch) -> None:
        taken = Taken(
            trace=trace,
            at=self._clock.now(),
            probability=call.probability,
            private=self._private,
            inputs={name: _own(array) for name, array in inputs.items()},
            outputs={name: _own(array) for name, array in outputs.items()},
            size_bytes=size_of(inputs) + size_of(outputs) + 1024,  # with what is known about it
        )
        self._log.offer(taken)

    def _sent(self, job: Job) -> Batch:
        """The inputs as the caller sent them: without what they were padded by."""
        batch = job.request.batch
        if not job.length:
            return batch
        cut: Batch = {}
        for name, array in batch.items():
            axis = self._ragged.get(name)
            cut[name] = array if axis is None else array[(slice(None),) * axis + (slice(job.length),)]
        return cut

    def _may_fail(self) -> bool:
        now = self._clock.monotonic()
        self._tokens = min(ERRORS_PER_S, self._tokens + (now - self._filled_at) * ERRORS_PER_S)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def place(request_id: str) -> float:
    """A request's fixed place in [0, 1); calls below the sample's share are kept."""
    return int.from_bytes(blake2b(request_id.encode(), digest_size=6, person=PERSON).digest()) / 2**48


def _own(array: Array) -> Array:
    """Small ones as a copy, so that it does not hold the batch or body that it is a part of."""
    return array.copy() if array.nbytes <= COPIED_BYTES else array
