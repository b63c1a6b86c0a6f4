"""A fan-out node's replica inside Ray Serve: loads the node's own layout from the artifact store. Thin on purpose."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import serve

from aimass.core.batch import Batch
from aimass.core.clock import SystemClock
from aimass.core.home import Home
from aimass.core.ids import Digest
from aimass.registry.artifacts import checkout
from aimass.serving.batching.rules import Rules
from aimass.serving.layout import Layout
from aimass.serving.loader import Around, LoadedPlan, bare, load
from aimass.serving.marks.marks import Marks
from aimass.serving.nodes.environment import spare_collections
from aimass.serving.nodes.runner import Runner
from aimass.serving.nodes.wire import Errand, Greeting, Outcome, revision_of
from aimass.serving.own_address import keep_to_own_address
from aimass.storage.opening import open_store


class Node:
    """The deployment's class. ``gpus``: what its replica asks Ray for, which shows it one GPU alone. ``beside``: the
    application's other deployments, which it keeps and never calls."""

    async def __init__(  # type: ignore[misc]
        self, name: str, home: Home, layout: Mapping[str, Any], rules: Rules, gpus: float, *beside: Any
    ) -> None:
        keep_to_own_address()
        context = serve.get_replica_context()
        self._marks = Marks(home.marks, f"node-{context.replica_id.unique_id}")
        load = self._marks.guard(revision_of(context.app_name) or (context.app_name, 0), load_node)
        plan = await asyncio.to_thread(load, home, Layout.from_json(layout), gpus)
        self._runner = Runner(name, plan, rules, SystemClock())
        spare_collections()

    async def __del__(self) -> None:
        if hasattr(self, "_runner"):
            self._runner.close()
            self._marks.close()

    async def infer(self, batch: Batch, errand: Errand) -> Outcome:
        """See ``Runner.infer``."""
        return await self._runner.infer(batch, errand)

    async def greet(self) -> Greeting:
        """See ``Runner.greet``."""
        return self._runner.greet()

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._runner.figures()


def load_node(home: Home, layout: Layout, gpus: float, around: Around = bare) -> LoadedPlan:
    """A node's own layout in memory; ``around``: see ``loader.load``."""
    store = open_store(home)

    def check_out(files: Mapping[str, Digest]) -> Path:
        return checkout(store, files, home.cache)

    return load(layout, check_out, gpus, around=around)
