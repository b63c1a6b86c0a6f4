"""A fan-out node's replica inside Ray Serve: loads the node's own layout and answers batches of rows."""

import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aimass.core.batch import Batch
from aimass.core.clock import SystemClock
from aimass.core.errors import AimassError, Bug
from aimass.core.events import Trace
from aimass.core.home import Home
from aimass.core.ids import Digest
from aimass.registry.artifacts import checkout
from aimass.serving.batching.rules import Rules
from aimass.serving.executor import Executor, Slot
from aimass.serving.layout import Layout
from aimass.serving.loader import LoadedPlan, load
from aimass.serving.nodes.load import NodeLoad
from aimass.serving.nodes.wire import Errand, Greeting, Outcome
from aimass.serving.own_address import keep_to_own_address
from aimass.storage.local import LocalStore

THREADS = 4  # for long calls, of which a node takes as many at a time as its service's limits say

_log = logging.getLogger(__name__)


class Node:
    """The deployment's class. ``beside``: the application's other deployments, which it keeps and never calls."""

    async def __init__(  # type: ignore[misc]
        self, name: str, home: Home, layout: Mapping[str, Any], rules: Rules, device: str, *beside: Any
    ) -> None:
        keep_to_own_address()
        self._name = name
        self._clock = SystemClock()
        self._executor = Executor(THREADS, self._clock)
        self._slot = Slot(name, rules)
        self._load = NodeLoad()
        self._plan: LoadedPlan = await asyncio.to_thread(_load, home, Layout.from_json(layout), device)

    async def __del__(self) -> None:
        self._executor.close()

    async def infer(self, batch: Batch, errand: Errand) -> Outcome:
        """The outputs for the rows of a batch that fits the node's signature, or why there are none."""
        began = self._clock.monotonic()
        self._load.begin(errand.requests, errand.sender, errand.waiting, began)
        try:
            if errand.rows <= self._plan.inline_rows:
                return self._plan.run(batch)
            deadline_s = None if errand.left_s is None else began + errand.left_s
            return await self._executor.submit(self._slot, self._plan, batch, errand.rows, deadline_s, Trace(""))
        except AimassError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers get it, and the replica goes on
            _log.exception("node %s failed", self._name)
            return Bug(f"node {self._name!r} failed: {type(error).__name__}: {error}")
        finally:
            now = self._clock.monotonic()
            self._load.end(errand.requests, errand.waited_s + now - began, now)

    async def greet(self) -> Greeting:
        """It answers, so its model is loaded."""
        one, two = self._plan.warm_us(1), self._plan.warm_us(2)
        return Greeting(os.getpid(), max(0.0, 2 * one - two), max(0.0, two - one))

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._load.figures(self._clock.monotonic())


def _load(home: Home, layout: Layout, device: str) -> LoadedPlan:
    store = LocalStore(home.artifacts)

    def check_out(files: Mapping[str, Digest]) -> Path:
        return checkout(store, files, home.cache)

    return load(layout, check_out, device)
