"""What a fan-out node's replica does with a call. Knows neither Ray nor where its plan came from."""

import asyncio
import logging
import os

from aimass.core.batch import Batch, concat, row_count, take
from aimass.core.clock import Clock
from aimass.core.errors import AimassError, Bug
from aimass.core.events import Trace
from aimass.serving.batching.rules import Rules
from aimass.serving.executor import Executor, Slot
from aimass.serving.loader import LoadedPlan
from aimass.serving.nodes.load import NodeLoad
from aimass.serving.nodes.wire import Errand, Greeting, Outcome

THREADS = 4  # for long calls, of which a node takes as many at a time as its service's limits say

_log = logging.getLogger(__name__)


class Runner:
    """One per replica, used from its event loop only."""

    def __init__(self, name: str, plan: LoadedPlan, rules: Rules, clock: Clock) -> None:
        self._name = name
        self._plan = plan
        self._clock = clock
        self._executor = Executor(THREADS, clock)
        self._slot = Slot(name, rules, "node")
        self._load = NodeLoad()

    async def infer(self, batch: Batch, errand: Errand) -> Outcome:
        """The outputs for the rows of a batch that fits the node's signature, or why there are none."""
        began = self._clock.monotonic()
        self._load.begin(errand.requests, errand.sender, errand.waiting, began)
        try:
            if errand.rows <= self._plan.inline_rows:
                return self._plan.run(batch)
            return await self._run(batch, errand.rows, None if errand.left_s is None else began + errand.left_s)
        except AimassError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers get it, and the replica goes on
            _log.exception("node %s failed", self._name)
            return Bug(f"node {self._name!r} failed: {type(error).__name__}: {error}")
        finally:
            now = self._clock.monotonic()
            self._load.end(errand.requests, errand.waited_s + now - began, now)

    def greet(self) -> Greeting:
        """It is there, and what calls cost it."""
        one, two = self._plan.warm_us(1), self._plan.warm_us(2)
        return Greeting(os.getpid(), max(0.0, 2 * one - two), max(0.0, two - one))

    def figures(self) -> dict[str, float]:
        """How loaded it is, for autoscaling."""
        return self._load.figures(self._clock.monotonic())

    def close(self) -> None:
        """Take no more work; what runs is finished."""
        self._executor.close()

    async def _run(self, batch: Batch, rows: int, deadline_s: float | None) -> Batch:
        """In threads, in pieces of as many rows as may run together: a hop may bring more."""
        size = self._slot.rules.max_rows
        pieces = [take(batch, at, min(at + size, rows)) for at in range(0, rows, size)] if rows > size > 1 else [batch]
        submit, slot, plan = self._executor.submit, self._slot, self._plan
        works = (submit(slot, plan, piece, row_count(piece), deadline_s, Trace("")) for piece in pieces)
        return concat(await asyncio.gather(*works))
