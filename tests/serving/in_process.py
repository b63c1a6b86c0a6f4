"""Any layout answered in one process: its deployments are loaded beside it, and called as a gateway calls them."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

from aimass.core.batch import Batch
from aimass.core.events import Trace
from aimass.serving.engine.flight import FlowCall
from aimass.serving.executor import Runnable
from aimass.serving.layout import Layout
from aimass.serving.loader import LoadedPlan, load
from tests.serving.served_models import Shelf


class InProcess:
    """A ``Remote`` that answers on the next round of the event loop."""

    def __init__(self, plan: LoadedPlan) -> None:
        self._plan = plan
        self.calls = 0

    def call(self, batch: Batch, rows: int, deadline_s: float | None) -> Awaitable[Batch]:
        self.calls += 1
        return self._answer(batch)

    async def _answer(self, batch: Batch) -> Batch:
        await asyncio.sleep(0)
        return self._plan.run(batch)


class Running:
    """The layout as a replica would have it: by its JSON."""

    def __init__(self, layout: Layout, store: Shelf, folder: Path) -> None:
        layout = Layout.from_json(layout.to_json())

        def in_memory(one: Layout) -> LoadedPlan:
            return load(one, lambda files: store.checkout(files, folder))

        self.plan = in_memory(layout)
        self.remotes = {name: InProcess(in_memory(fanout.layout)) for name, fanout in layout.apps.items()}
        if layout.apps:
            self.plan.connect(self.remotes)

    def answer(self, batch: Batch) -> Batch:
        return self.plan.run(batch) if self.plan.is_plain else asyncio.run(self._flow(batch))

    async def _flow(self, batch: Batch) -> Batch:
        assert self.plan.flow is not None
        return await self.plan.flow.start(batch, FlowCall(_threads))


async def _threads(plan: Runnable, batch: Batch, rows: int, deadline_s: float | None, trace: Trace) -> Batch:
    return plan.run(batch, trace)
