"""Shadows in one replica: mirrored calls wait in bounded queues, and one thread runs them when nobody else waits.

What a shadow takes, in this order of who comes first: calls that are answered never wait for it. While calls wait for a
thread, shadows wait, and what waited too long is dropped; when the event loop comes late, all that waits is dropped;
and the worker rests as long as it worked. Every call that was to be mirrored and was not is counted, with the reason.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from aimass.core.batch import Batch
from aimass.core.clock import Clock
from aimass.core.errors import AimassError, Unavailable
from aimass.core.events import Trace
from aimass.core.ids import RevisionId
from aimass.gateway.app import GatewayApp
from aimass.gateway.metrics import Metrics
from aimass.gateway.residency.asleep import AsleepPlan, Plan
from aimass.gateway.routes import Target
from aimass.gateway.shadows.counts import Outcome, ShadowCounts
from aimass.gateway.shadows.lane import UNLOADED, Lane, Mirror
from aimass.gateway.shadows.queue import TOGETHER_ROWS, Bound, Mirrored
from aimass.gateway.shadows.running import Work, run_in_flow, run_in_thread
from aimass.gateway.state import GatewayState
from aimass.serving.executor import Executor, Runnable
from aimass.serving.loader import LoadedPlan

if TYPE_CHECKING:
    from aimass.gateway.infer import Job

LOOK_S = 0.5  # so long calls gather before they run together: on a machine without a processor to spare each turn of
# the thread costs callers some 5 ms, for it changes places with the event loop a dozen times, whatever it runs
COPY_S, PENDING, PENDING_BYTES = 0.05, 256, 2**20  # so long, so many, so large: then calls are copied
LONE_S = 1.0  # at most so often a shadow's calls are timed, which takes two runs more
LEAST_S = 0.005  # the least between two batches
LATE_S = 0.025  # the event loop is overloaded when a timer of its comes so late: a busy one needs some 5 ms a round
AGE_S = 2.0  # what waited longer is dropped
RUN_S = 10.0  # what runs longer is given up
REST_S = 1.0  # the longest rest: what it waits for may have been a load
WAITING = 1  # calls of shadows that may wait for a plan to be loaded again
LATE, BUSY, SLOW, GONE, QUARANTINE = "event loop late", "busy", "deadline", "removed", "quarantine"


def open_shadows(
    gateway: GatewayApp, metrics: Metrics, plans: Mapping[RevisionId, Plan], executor: Executor, clock: Clock
) -> "Shadowing":
    """Shadows of whatever this gateway answers."""
    shadowing = Shadowing(metrics, plans, clock, lambda: executor.is_waited_for)
    gateway.watching = (*gateway.watching, shadowing)
    return shadowing


class Shadowing:
    """A ``Watching``. Used from one event loop. ``plans``: what is loaded, as it changes; ``is_busy``: whether calls
    wait."""

    def __init__(
        self,
        metrics: Metrics,
        plans: Mapping[RevisionId, Plan],
        clock: Clock,
        is_busy: Callable[[], bool],
        bound: Bound | None = None,
    ) -> None:
        self._metrics = metrics
        self._plans = plans
        self._now = clock.monotonic
        self._is_busy = is_busy
        self._bound = bound or Bound()
        self._pending: list[tuple[Mirror, Job, int]] = []  # to be copied
        self._pending_bytes = 0
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._targets: dict[RevisionId, Target] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="aimass-shadow")
        self._thread: asyncio.Future[Outcome] | None = None  # under way, also when nobody waits for it any more
        self._timer: asyncio.TimerHandle | None = None
        self._is_soon = False  # it is set for as soon as may be
        self._task: asyncio.Task[None] | None = None
        self._rested_at = 0.0

    def become(self, state: GatewayState) -> None:
        """Before the gateway applies this state: its shadows are these from now on. A lane that goes on keeps what
        waits in it."""
        self._copy()
        before, self._lanes = self._lanes, {}
        for service in state.services:
            for shadow in service.shadows:
                name = (service.name, shadow.name)
                known = before.pop(name, None)
                if known is not None and known.name == shadow.plan_of(service.name):
                    known.shadow = shadow
                    self._lanes[name] = known
                    continue
                if known is not None:
                    before[name] = known
                self._lanes[name] = Lane(service.name, shadow, self._bound, self._plans)
        for lane in before.values():
            self._drop(lane, lane.queue.take_older(float("inf")), GONE)
        self._targets = {}

    def watcher(self, target: Target) -> Mirror | None:
        """See ``Watching``."""
        if any(lane.name == (target.service, target.revision) for lane in self._lanes.values()):
            self._targets[target.service, target.revision] = target
        lanes = [
            lane for lane in self._lanes.values() if lane.service == target.service and lane.looks_at(target.revision)
        ]
        return Mirror(target, lanes, self._metrics, self.take) if lanes else None

    def take(self, mirror: Mirror, job: "Job", at: int) -> None:
        """A call to be mirrored, to be copied with those that follow it soon: code that runs seldom has left the
        processor's caches, and costs a call five times what it costs the next."""
        if not self._pending:
            asyncio.get_running_loop().call_later(COPY_S, self._copy)
        self._pending.append((mirror, job, at))
        self._pending_bytes += job.call.received + job.size
        if self._pending_bytes > PENDING_BYTES or len(self._pending) >= PENDING:
            self._copy()

    def _copy(self) -> None:
        held, self._pending, self._pending_bytes = self._pending, [], 0
        for mirror, job, at in held:
            mirror.copy(job, at)
        if self._bound.held_rows:
            self._wake()

    def _wake(self) -> None:
        """Something was queued."""
        if self._task is not None or self._is_soon:
            return
        if self._timer is None or self._bound.held_rows >= TOGETHER_ROWS:
            self._arm()

    def reasons(self) -> dict[str, str]:
        """Why shadows failed last, by "service/shadow"."""
        standing = {f"{service}/{shadow}" for service, shadow in self._lanes}
        return {name: why for name, why in self._metrics.shadow_reasons().items() if name in standing}

    def close(self) -> None:
        """Run nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _arm(self) -> None:
        """Look when enough has gathered, or after a while, and not before the worker has rested."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self._is_soon = self._bound.held_rows >= TOGETHER_ROWS
        rest_s = max(LEAST_S if self._is_soon else LOOK_S, self._rested_at - self._now())
        self._timer = loop.call_later(rest_s, self._look, loop.time() + rest_s)

    def _look(self, due: float) -> None:
        self._timer, self._is_soon = None, False
        now = self._now()
        late = asyncio.get_running_loop().time() - due > LATE_S
        for lane in self._lanes.values():
            self._drop(lane, lane.queue.take_older(float("inf") if late else now - AGE_S), LATE if late else BUSY)
        waiting = [lane for lane in self._lanes.values() if len(lane.queue)]
        if waiting and not self._is_busy():
            lane = min(waiting, key=lambda lane: lane.ran_at)
            self._task = asyncio.create_task(self._turn(lane, now))
        elif waiting:
            self._arm()

    async def _turn(self, lane: Lane, began: float) -> None:
        lane.ran_at = began
        calls = lane.queue.take()
        try:
            await self._run(lane, calls)
        finally:
            lane.queue.let_go(calls)
            ended = self._now()
            self._rested_at = ended + min(ended - began, REST_S)
            self._task = None
            if any(len(other.queue) for other in self._lanes.values()):
                self._arm()

    async def _run(self, lane: Lane, calls: Sequence[Mirrored]) -> None:
        counts = self._counts(lane, calls[0])
        if self._thread is not None:
            return counts.drop(SLOW, len(calls))  # the one before it still has the thread
        if self._is_held(lane):
            return counts.drop(QUARANTINE, len(calls))
        try:
            async with asyncio.timeout(RUN_S):
                plan = await self._plan(lane)
                counts.add(await self._outcome(lane, plan, calls))
        except TimeoutError:
            counts.drop(SLOW, len(calls))
            counts.reason = f"it had not ended after {RUN_S:.0f} s"
        except Unavailable as error:
            counts.drop(UNLOADED, len(calls))
            counts.reason = error.message
        except Exception as error:  # noqa: BLE001 - whatever a shadow meets, it is counted and told
            reason = error.message if isinstance(error, AimassError) else f"{type(error).__name__}: {error}"
            counts.add(Outcome(errors=len(calls), reason=reason))
        return None

    async def _plan(self, lane: Lane) -> LoadedPlan:
        """It in memory; one that is asleep is woken."""
        plan = lane.plan
        if plan is None:
            raise Unavailable("it is not loaded")
        self._metrics.series(*lane.name).used_s = self._now()
        return await plan.wake(WAITING, self._now() + RUN_S) if isinstance(plan, AsleepPlan) else plan

    async def _outcome(self, lane: Lane, plan: LoadedPlan, calls: Sequence[Mirrored]) -> Outcome:
        target = calls[0].target
        beside = target.plan
        is_beside = lane.beside is None and beside.flow is None and plan.flow is None
        work = Work(
            plan,
            lane.comparer(plan, target),
            beside if is_beside and not isinstance(beside, AsleepPlan) else None,
            lane.beside,
            is_timed=self._now() >= lane.timed_at + LONE_S,
            primary_first=lane.turns % 2 == 0,
        )
        if work.is_timed:
            lane.timed_at, lane.turns = self._now(), lane.turns + 1
        if plan.flow is not None:
            return await run_in_flow(work, calls, self._in_thread, self._now() + RUN_S)
        loop = asyncio.get_running_loop()
        self._thread = loop.run_in_executor(self._pool, run_in_thread, work, calls)
        self._thread.add_done_callback(self._end)
        return await asyncio.shield(self._thread)

    def _end(self, ended: asyncio.Future[Outcome]) -> None:
        self._thread = None
        if not ended.cancelled():
            ended.exception()  # of one that was given up, nobody else asks

    async def _in_thread(
        self, step: Runnable, batch: Batch, rows: int, deadline_s: float | None, trace: Trace
    ) -> Batch:
        """See ``serving.engine.nodes.Threads``."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, step.run, batch, trace)

    def _is_held(self, lane: Lane) -> bool:
        target = self._targets.get(lane.name)
        return target is not None and target.gate is not None

    def _counts(self, lane: Lane, call: Mirrored) -> ShadowCounts:
        return self._metrics.shadow(lane.service, call.target.revision, lane.shadow.name)

    def _drop(self, lane: Lane, calls: Sequence[Mirrored], reason: str) -> None:
        for call in calls:
            self._counts(lane, call).drop(reason)
        lane.queue.let_go(calls)
