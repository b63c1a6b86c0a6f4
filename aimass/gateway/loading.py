"""Revisions loaded and warmed beside the event loop, and let go when nobody needs them. Knows no HTTP and no Ray."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from aimass.core.batch import Batch
from aimass.core.clock import Clock
from aimass.core.errors import Timeout, Unavailable
from aimass.core.events import Trace
from aimass.core.ids import RevisionId
from aimass.gateway.metrics import Metrics
from aimass.gateway.residency.asleep import AsleepPlan, Plan
from aimass.gateway.residency.residency import Residency
from aimass.gateway.residency.size import most_bytes, weigh
from aimass.gateway.state import GatewayState, RevisionState
from aimass.serving.batching.padding import learn_padding
from aimass.serving.batching.rules import Rules
from aimass.serving.engine.flight import FlowCall
from aimass.serving.executor import Runnable
from aimass.serving.layout import Layout
from aimass.serving.loader import Known, LoadedPlan
from aimass.serving.remote import Remotes

Connect = Callable[[str, int, Layout, Rules], Awaitable[Remotes]]
"""(service, revision, its layout, how rows wait) → its fan-out nodes, when each of them answers."""

AGAIN_S = 1.0  # after a first failure; twice as long after each further one
AT_LEAST_EVERY_S = 60.0
_log = logging.getLogger(__name__)


class Load(Protocol):
    """See ``serving.loader.load``."""

    def __call__(self, layout: Layout, /, *, known: Known | None = None) -> LoadedPlan: ...


@dataclass(frozen=True)
class Failure:
    """Why a revision is not here, and when it is tried again (monotonic seconds)."""

    reason: str
    wait_s: float
    again_at: float


class Loading:
    """Used from one event loop. ``changed`` is called on it whenever a revision was loaded for the first time. One that
    was loaded stays in ``plans`` while it is needed, but may be asleep there; a call wakes it."""

    def __init__(
        self,
        load: Load,
        changed: Callable[[], None],
        connect: Connect,
        clock: Clock,
        residency: Residency | None = None,
        guard: Callable[[RevisionId, Load], Load] = lambda _, load: load,
    ) -> None:
        """``guard``: what stands around the load of each revision."""
        self._guard = guard
        self._load = load
        self._connect = connect
        self._changed = changed
        self._now = clock.monotonic
        self._residency = residency or Residency(Metrics())
        # One at a time leaves a core to calls; who waits with a call does not wait for a deploy.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="aimass-load")
        self._waking = ThreadPoolExecutor(1, thread_name_prefix="aimass-wake")
        self._tasks: dict[RevisionId, asyncio.Task[None]] = {}
        self._owed: set[RevisionId] = set()  # of the tasks, those that the state asks for, not only a call
        self._met: set[str] = set()  # runtimes that this process has used
        self._waiters: dict[RevisionId, int] = {}
        self._failures: dict[RevisionId, Failure] = {}
        self._aside: dict[str, str] = {}  # what the state says is not to be loaded, and why
        self._wanted: dict[RevisionId, tuple[RevisionState, Rules]] = {}
        self.plans: dict[RevisionId, Plan] = {}

    @property
    def failed(self) -> dict[str, str]:
        """Why revisions are not here, by "service/revision"; also while one of them is tried again."""
        failures = {f"{service}/{number}": failure.reason for (service, number), failure in self._failures.items()}
        return {**failures, **self._aside}

    @property
    def ready(self) -> tuple[RevisionId, ...]:
        """What calls can go to: it was loaded, and is in memory or, as far as is known, can be again."""
        return tuple(sorted(name for name in self.plans if name not in self._failures))

    @property
    def asleep(self) -> tuple[RevisionId, ...]:
        """What was let go for want of memory."""
        return tuple(sorted(name for name, plan in self.plans.items() if isinstance(plan, AsleepPlan)))

    def prepare(self, state: GatewayState) -> None:
        """Begin to load what the state names and is not here; what failed before is tried again at once."""
        broken, self._failures = self._failures.keys() & self.plans.keys(), {}
        self.retry(state)
        for name in broken & self._wanted.keys():
            self._begin(name, is_owed=True)

    def retry(self, state: GatewayState) -> None:
        """Begin to load what the state names, is not here, and has not failed only just now. What made it fail may
        have passed: a file that was not there yet, memory or disk that were full."""
        self._wanted = {
            name: (item, service.limits.rules)
            for service in state.services
            for name, item in service.plans.items()
            if not item.aside
        }
        self._aside = {
            f"{service.name}/{item.number}": f"it {item.aside}"
            for service in state.services
            for item in service.revisions
            if item.aside
        }
        self._residency.pin({(service.name, number) for service in state.services for number in service.pinned})
        self._failures = {name: failure for name, failure in self._failures.items() if name in self._wanted}
        for name in self._wanted:
            failure = self._failures.get(name)
            if failure is None and name in self.plans and not self._is_missed(name):
                continue
            if failure is None or self._now() >= failure.again_at:
                self._begin(name, is_owed=True)
        self._make_room()  # for what is in use no longer

    async def settle(self) -> None:
        """Wait until every revision that the state names was loaded or has failed."""
        while self._owed:
            await asyncio.wait([self._tasks[name] for name in self._owed])

    def drop(self, needed: set[RevisionId]) -> None:
        """Forget what is not needed; a plan that calls still run on goes with the last of them."""
        for name in [name for name in self.plans if name not in needed]:
            del self.plans[name]
            self._residency.leave(name)

    async def wake(self, name: RevisionId, max_queue: int, deadline_s: float | None) -> LoadedPlan:
        """See ``residency.asleep.Wake``. Calls to one plan wait for one load."""
        waiting = self._waiters.get(name, 0)
        if waiting >= max(1, max_queue):
            raise Unavailable(f"{waiting} calls wait for {_said(name)} to be loaded; try again later", retry_after_s=1)
        self._waiters[name] = waiting + 1
        try:
            while True:
                plan = self.plans.get(name)
                if isinstance(plan, LoadedPlan):
                    return plan
                await self._wake(name, plan, deadline_s)
        finally:
            self._waiters[name] -= 1
            if not self._waiters[name]:
                del self._waiters[name]

    async def _wake(self, name: RevisionId, plan: AsleepPlan | None, deadline_s: float | None) -> None:
        if plan is None or name not in self._wanted:
            raise Unavailable(f"{_said(name)} was unloaded; try again", retry_after_s=1)
        failure = self._failures.get(name)
        if name not in self._tasks and failure is not None and self._now() < failure.again_at:
            raise self._gone(name, failure)
        task = self._begin(name)
        left_s = None if deadline_s is None else max(0.0, deadline_s - self._now())
        await asyncio.wait({task}, timeout=left_s)
        if not task.done():
            raise Timeout(
                f"{_said(name)}, let go for want of memory, was being loaded again when the deadline of this call "
                "passed; that goes on, so ask again"
            )
        failure = self._failures.get(name)
        if failure is not None:
            raise self._gone(name, failure)

    def _gone(self, name: RevisionId, failure: Failure) -> Unavailable:
        left_s = max(1.0, failure.again_at - self._now())
        return Unavailable(
            f"{_said(name)}, let go for want of memory, cannot be loaded again: {failure.reason}", retry_after_s=left_s
        )

    async def _run(self, plan: LoadedPlan, batch: Batch) -> Batch:
        """A trial, beside the event loop."""
        loop = asyncio.get_running_loop()

        async def thread(step: Runnable, batch: Batch, rows: int, deadline_s: float | None, trace: Trace) -> Batch:
            return await loop.run_in_executor(self._pool, step.run, batch, trace)

        if plan.flow is not None:
            return await plan.flow.start(batch, FlowCall(thread))
        return await loop.run_in_executor(self._pool, plan.run, batch)

    def close(self) -> None:
        """Load nothing more."""
        for task in self._tasks.values():
            task.cancel()
        for pool in (self._pool, self._waking):
            pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, name: RevisionId, is_owed: bool = False) -> asyncio.Task[None]:
        """The load under way, or a new one."""
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(self._take(name, *self._wanted[name]))
        if is_owed:
            self._owed.add(name)
        return task

    def _is_missed(self, name: RevisionId) -> bool:
        return self._residency.is_pinned(name) and isinstance(self.plans.get(name), AsleepPlan)

    async def _take(self, name: RevisionId, revision: RevisionState, rules: Rules) -> None:
        began = self._now()
        before = self.plans.get(name)
        try:
            layout = Layout.from_json(revision.layout)
            plan, size = await self._weigh(name, layout, before if isinstance(before, AsleepPlan) else None)
            if layout.apps:
                plan.connect(await self._connect(*name, layout, rules))
            if before is None:
                plan.padding = await learn_padding(layout.inputs, partial(self._run, plan))
            self._residency.check(name, size)
        except Exception as error:  # noqa: BLE001 - one bad revision must not take the replica down
            self._fail(name, str(error) or type(error).__name__)
        else:
            self._failures.pop(name, None)
            if before is None or name in self.plans:
                self._hold(name, plan, size, bool(layout.apps))
                if before is not None:
                    self._residency.cold(name, self._now() - began)
        finally:
            self._tasks.pop(name, None)
            self._owed.discard(name)

    async def _weigh(self, name: RevisionId, layout: Layout, asleep: AsleepPlan | None) -> tuple[LoadedPlan, int]:
        """The plan, and the bytes that it holds. One that is woken holds what it held: it has not run yet."""
        run, load = asyncio.get_running_loop().run_in_executor, self._guard(name, self._load)
        if asleep is not None:
            self._make_room(asleep.size_bytes)
            return await run(self._waking, partial(load, layout, known=asleep.known)), asleep.size_bytes
        plan, size = await run(self._pool, weigh, partial(load, layout), _file_bytes)
        new = {node.runtime for node in layout.nodes_all()} - self._met
        self._met |= new
        if new and size > most_bytes(plan.file_bytes):
            del plan
            plan, size = await run(self._pool, weigh, partial(load, layout), _file_bytes)
        return plan, size

    def _hold(self, name: RevisionId, plan: LoadedPlan, size: int, is_bound: bool) -> None:
        is_new = name not in self.plans
        self.plans[name] = plan
        self._residency.hold(name, size, is_bound, self._now())
        if is_new:
            self._changed()
        else:
            self._residency.exchanged(name, plan)
        self._make_room()

    def _make_room(self, wanted_bytes: int = 0) -> None:
        """Let go of the least recently used plans until so much more fits, or nobody is left who may go."""
        for name in self._residency.surplus(wanted_bytes):
            plan = self.plans[name]
            assert isinstance(plan, LoadedPlan)
            size = self._residency.leave(name, is_evicted=True)
            self.plans[name] = AsleepPlan(plan, size, partial(self.wake, name))
            self._residency.exchanged(name, self.plans[name])
            self._waking.submit(_end, [plan])
            del plan

    def _fail(self, name: RevisionId, reason: str) -> None:
        before = self._failures.get(name)
        wait_s = min(2 * before.wait_s, AT_LEAST_EVERY_S) if before else AGAIN_S
        self._failures[name] = Failure(reason, wait_s, self._now() + wait_s)
        if before is None or before.reason != reason:
            _log.warning("revision %s of service %s was not loaded: %s", name[1], name[0], reason)


def _end(plans: list[LoadedPlan]) -> None:
    """In a thread: freeing a large model takes milliseconds."""
    plans.clear()


def _file_bytes(plan: LoadedPlan) -> int:
    return plan.file_bytes


def _said(name: RevisionId) -> str:
    return f"revision {name[1]} of service {name[0]!r}"
