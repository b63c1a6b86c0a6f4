"""Revisions loaded and warmed beside the event loop, and let go when nobody needs them. Knows no HTTP and no Ray."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from aimass.core.batch import Batch
from aimass.core.clock import Clock
from aimass.core.events import Trace
from aimass.gateway.state import GatewayState, RevisionState
from aimass.serving.batching.padding import learn_padding
from aimass.serving.batching.rules import Rules
from aimass.serving.engine.flight import FlowCall
from aimass.serving.executor import Runnable
from aimass.serving.layout import Layout
from aimass.serving.loader import LoadedPlan
from aimass.serving.remote import Remotes

Name = tuple[str, int]  # service, revision
Load = Callable[[Layout], LoadedPlan]
Connect = Callable[[str, int, Layout, Rules], Awaitable[Remotes]]
"""(service, revision, its layout, how rows wait) → its fan-out nodes, when each of them answers."""

AGAIN_S = 1.0  # after a first failure; twice as long after each further one
AT_LEAST_EVERY_S = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why a revision is not here, and when it is tried again (monotonic seconds)."""

    reason: str
    wait_s: float
    again_at: float


class Loading:
    """Used from one event loop. ``changed`` is called on it whenever a revision was loaded."""

    def __init__(self, load: Load, changed: Callable[[], None], connect: Connect, clock: Clock) -> None:
        self._load = load
        self._connect = connect
        self._changed = changed
        self._now = clock.monotonic
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="aimass-load")  # one at a time leaves a core to calls
        self._tasks: dict[Name, asyncio.Task[None]] = {}
        self._failures: dict[Name, Failure] = {}
        self.plans: dict[Name, LoadedPlan] = {}

    @property
    def failed(self) -> dict[str, str]:
        """Why revisions are not here, by "service/revision"; also while one of them is tried again."""
        return {f"{service}/{number}": failure.reason for (service, number), failure in self._failures.items()}

    def prepare(self, state: GatewayState) -> None:
        """Begin to load what the state names and is not here; what failed before is tried again at once."""
        self._failures = {}
        self.retry(state)

    def retry(self, state: GatewayState) -> None:
        """Begin to load what the state names, is not here, and has not failed only just now. What made it fail may
        have passed: a file that was not there yet, memory or disk that were full."""
        wanted = {
            (service.name, item.number): (item, service.limits.rules)
            for service in state.services
            for item in service.revisions
        }
        self._failures = {name: failure for name, failure in self._failures.items() if name in wanted}
        for name, (revision, rules) in wanted.items():
            if name in self.plans or name in self._tasks:
                continue
            if name not in self._failures or self._now() >= self._failures[name].again_at:
                self._tasks[name] = asyncio.create_task(self._take(name, revision, rules))

    async def settle(self) -> None:
        """Wait until every revision is loaded or has failed."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def drop(self, needed: set[Name]) -> None:
        """Forget what is not needed; a plan that calls still run on goes with the last of them."""
        self.plans = {name: plan for name, plan in self.plans.items() if name in needed}

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
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _take(self, name: Name, revision: RevisionState, rules: Rules) -> None:
        loop = asyncio.get_running_loop()
        try:
            layout = Layout.from_json(revision.layout)
            plan = await loop.run_in_executor(self._pool, self._load, layout)
            if layout.apps:
                plan.connect(await self._connect(*name, layout, rules))
            plan.padding = await learn_padding(layout.inputs, partial(self._run, plan))
        except Exception as error:  # noqa: BLE001 - one bad revision must not take the replica down
            self._fail(name, str(error) or type(error).__name__)
        else:
            self._failures.pop(name, None)
            self.plans[name] = plan
            self._changed()
        finally:
            self._tasks.pop(name, None)

    def _fail(self, name: Name, reason: str) -> None:
        before = self._failures.get(name)
        wait_s = min(2 * before.wait_s, AT_LEAST_EVERY_S) if before else AGAIN_S
        self._failures[name] = Failure(reason, wait_s, self._now() + wait_s)
        if before is None or before.reason != reason:
            _log.warning("revision %s of service %s was not loaded: %s", name[1], name[0], reason)
