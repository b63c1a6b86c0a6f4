"""Revisions loaded and warmed beside the event loop, and let go when nobody needs them. Knows no HTTP and no Ray."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aimass.core.batch import Batch
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

_log = logging.getLogger(__name__)


class Loading:
    """Used from one event loop. ``changed`` is called on it whenever a revision was loaded."""

    def __init__(self, load: Load, changed: Callable[[], None], connect: Connect) -> None:
        self._load = load
        self._connect = connect
        self._changed = changed
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="aimass-load")  # one at a time leaves a core to calls
        self._tasks: dict[Name, asyncio.Task[None]] = {}
        self.plans: dict[Name, LoadedPlan] = {}
        self.failed: dict[str, str] = {}

    def prepare(self, state: GatewayState) -> None:
        """Begin to load what the state names and is not here; what failed before is tried again."""
        self.failed = {}
        for service in state.services:
            for revision in service.revisions:
                name = (service.name, revision.number)
                if name not in self.plans and name not in self._tasks:
                    self._tasks[name] = asyncio.create_task(self._take(name, revision, service.limits.rules))

    async def settle(self) -> None:
        """Wait until every revision is loaded or has failed."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def drop(self, needed: set[Name], is_busy: Callable[[Name], bool]) -> None:
        """Let go of what is neither needed nor running a call."""
        for name in [name for name in self.plans if name not in needed and not is_busy(name)]:
            self.plans.pop(name).close()

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
            self.failed[f"{name[0]}/{name[1]}"] = str(error) or type(error).__name__
            _log.warning("revision %s of service %s was not loaded: %s", name[1], name[0], error)
        else:
            self.plans[name] = plan
            self._changed()
        finally:
            self._tasks.pop(name, None)
