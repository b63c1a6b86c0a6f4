"""One shadow in one replica: which calls it takes, and what waits for it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from zlib import crc32

from aimass.core.batch import size_of
from aimass.core.ids import RevisionId
from aimass.core.signature import NUMPY, Datatype, Signature, TensorSpec
from aimass.gateway.metrics import Metrics
from aimass.gateway.residency.asleep import Plan
from aimass.gateway.routes import Target
from aimass.gateway.shadows.counts import ShadowCounts
from aimass.gateway.shadows.queue import Bound, Mirrored, Queue, own
from aimass.gateway.state import ShadowState
from aimass.serving.loader import LoadedPlan
from aimass.serving.shadows.beside import Beside, specs_of
from aimass.serving.shadows.comparing import Comparer
from aimass.serving.shadows.pairing import PRIMARY, SHADOW
from aimass.serving.traffic.base import ALL_PERCENT

if TYPE_CHECKING:
    from aimass.gateway.infer import Job

PLACES = 2**32
FULL, DEGRADED, UNLOADED, FAULT = "full", "degraded", "not loaded", "fault"
"""Why a call is not even queued."""


class Lane:
    """Used from one event loop."""

    def __init__(self, service: str, shadow: ShadowState, bound: Bound, plans: Mapping[RevisionId, Plan]) -> None:
        self.service = service
        self.shadow = shadow
        self.name = shadow.plan_of(service)
        self.queue = Queue(bound)
        self.ran_at = 0.0  # when its last batch began
        self.turns, self.timed_at = 0, -math.inf  # calls that were timed, and when the last one was
        self._plans = plans
        self._bound = bound

    @property
    def limit(self) -> float:
        """It takes the calls whose place lies below."""
        return self.shadow.share / ALL_PERCENT * PLACES

    @property
    def plan(self) -> Plan | None:
        """What it runs, if it is loaded."""
        return self._plans.get(self.name)

    @property
    def beside(self) -> Beside | None:
        """Of a node's shadow."""
        return Beside(self.shadow.node) if self.shadow.node else None

    def looks_at(self, revision: int) -> bool:
        """Whether it takes calls that this revision answered."""
        return revision == self.shadow.revision if self.shadow.node else revision != self.shadow.revision

    def comparer(self, plan: LoadedPlan, target: Target) -> Comparer:
        """By what it is compared; ``Invalid`` where there is nothing to compare."""
        outputs = plan.signature.outputs
        sides: tuple[list[TensorSpec], list[TensorSpec]] = (
            (specs_of(outputs, PRIMARY), specs_of(outputs, SHADOW))
            if self.shadow.node
            else (list(target.signature.outputs), list(outputs))
        )
        return Comparer(*sides)

    def row_bytes(self, signature: Signature) -> int:
        """What a row of a call weighs; 0 where that is not the same for all."""
        specs = signature.inputs if self.shadow.node else (*signature.inputs, *signature.outputs)
        if any(-1 in spec.shape[1:] or spec.datatype == Datatype.BYTES for spec in specs):
            return 0
        return sum(NUMPY[spec.datatype].itemsize * math.prod(spec.shape[1:]) for spec in specs)

    def offer(self, job: "Job", counts: ShadowCounts, row_bytes: int, now: float) -> None:
        """Take a copy of the call, if there is room."""
        if job.degraded:
            counts.drop(DEGRADED)
        elif self.name not in self._plans:
            counts.drop(UNLOADED)
        else:
            rows, given = job.request.rows, job.request.batch
            answered = {} if self.shadow.node else job.outputs
            size = rows * row_bytes or size_of(given) + size_of(answered)
            if not self._bound.has_room(rows, size):
                counts.drop(FULL)
                return
            shape = None if row_bytes else tuple(array.shape[1:] for array in given.values())
            call = Mirrored(job.target, own(given), own(answered), rows, job.length, size, now, shape)
            self.queue.put(call)


class Mirror:
    """The ``Watcher`` of one revision: hands its calls to the lanes that look at it."""

    def __init__(self, target: Target, lanes: list[Lane], metrics: Metrics, take: "Take") -> None:
        counts = [metrics.shadow(target.service, target.revision, lane.shadow.name) for lane in lanes]
        self._lanes = [
            (lane.limit, lane, count, lane.row_bytes(target.signature))
            for lane, count in zip(lanes, counts, strict=True)
        ]
        self._most = max(lane.limit for lane in lanes)
        self._take = take

    def answered(self, jobs: Sequence["Job"]) -> None:
        most = self._most
        for job in jobs:
            at = place(job.call.request_id)
            if at < most:
                self._take(self, job, at)

    def copy(self, job: "Job", at: int) -> None:
        """Offer the call to the lanes that take it."""
        now = job.call.started + job.total_s
        for limit, lane, counts, row_bytes in self._lanes:
            if at < limit:
                try:
                    lane.offer(job, counts, row_bytes, now)
                except Exception:  # noqa: BLE001 - whatever a copy meets, the caller has his answer
                    counts.drop(FAULT)

    def failed(self, call: object, status: int, error: str) -> None:
        """There is no answer to compare with."""


Take = Callable[[Mirror, "Job", int], None]
"""See ``Shadowing.take``."""


def place(request_id: str) -> int:
    """Where a call lies among ``PLACES``. All shadows take the lowest part, so that they run the same calls. CRC-32 is
    even enough for ids that count up (tested), takes a quarter of a hash's time, and is not what a split goes by."""
    return crc32(request_id.encode())
