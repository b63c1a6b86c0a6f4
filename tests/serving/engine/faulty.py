"""Deployments that a test decides over: each try has a fate. In virtual time, so that no test waits."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aimass.core.batch import Batch, row_count
from aimass.core.clock import Clock
from aimass.core.errors import Invalid, Timeout, Unavailable
from aimass.core.events import Trace
from aimass.graph.graph import PROBABILITIES, Graph
from aimass.serving.combining import Combine
from aimass.serving.engine.flight import FlowCall
from aimass.serving.engine.frames import Predict
from aimass.serving.executor import Runnable
from aimass.serving.loader import LoadedPlan
from tests.serving.engine.engine_graphs import calls_of, layout_of, predict

FINE = "fine"
GONE = "gone"  # Unavailable: its replica is lost
LATE = "late"  # Timeout, raised there
BROKEN = "broken"  # an exception of a library
REFUSED = "refused"  # Invalid: the rows are at fault
SHAPE = "shape"  # one column too few
DTYPE = "dtype"
NAME = "name"  # without its output
BUSY = "busy"  # refused at once, before it left
STOPPED = "stopped"  # its future is cancelled by the other side
SILENT = "silent"  # never answers
FAULTS = (BUSY, GONE, LATE, BROKEN, SHAPE, DTYPE, NAME, STOPPED, SILENT)


@dataclass
class Fate:
    """Of one try."""

    what: str = FINE
    after_s: float = 0.01


@dataclass
class Faulty:
    """A deployment: its n-th try has the n-th fate, those beyond have the last."""

    name: str
    fates: Sequence[Fate] = (Fate(),)
    tries: list[tuple[int, float | None]] = field(default_factory=list)  # rows, deadline
    given_up: int = 0
    under_way: int = 0

    def call(self, batch: Batch, rows: int, deadline_s: float | None) -> "asyncio.Future[Batch]":
        fate = self.fates[min(len(self.tries), len(self.fates) - 1)]
        self.tries.append((rows, deadline_s))
        assert rows == row_count(batch) > 0
        if fate.what == BUSY:
            raise Unavailable(f"{self.name!r} has too many calls waiting")
        work = asyncio.ensure_future(self._answer(fate, batch))
        if fate.what == STOPPED:
            asyncio.get_running_loop().call_later(fate.after_s, work.cancel)
        return work

    async def _answer(self, fate: Fate, batch: Batch) -> Batch:
        self.under_way += 1
        try:
            await asyncio.sleep(3600.0 if fate.what in (SILENT, STOPPED) else fate.after_s)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self.under_way -= 1
        return self._outcome(fate.what, predict(self.name)(batch))

    def _outcome(self, what: str, answer: Batch) -> Batch:
        errors: Mapping[str, Exception] = {
            GONE: Unavailable(f"a replica of {self.name!r} died"),
            LATE: Timeout(f"{self.name!r} took too long"),
            BROKEN: ZeroDivisionError("of a library"),
            REFUSED: Invalid(f"{self.name!r} does not take this", field="x"),
        }
        if what in errors:
            raise errors[what]
        made = answer[PROBABILITIES]
        odd: Mapping[str, Any] = {
            SHAPE: {PROBABILITIES: made[:, :2]},
            DTYPE: {PROBABILITIES: made.astype(np.float64)},
            NAME: {"probability": made},
        }
        found: Batch = odd.get(what, answer)
        return found


async def in_a_thread(step: Runnable, batch: Batch, rows: int, deadline_s: float | None, trace: Trace) -> Batch:
    """What the executor does, as far as a flow sees it."""
    await asyncio.sleep(0.003)
    return step.run(batch, trace)


class Made:
    """A graph whose models named in ``remotes`` run in these deployments, ready to be called."""

    def __init__(self, found: Graph, clock: Clock, remotes: Mapping[str, Faulty]) -> None:
        layout = layout_of(found, remotes.__contains__)
        self.calls = calls_of(layout)  # may be changed once it is loaded
        late = {name: call if isinstance(call, Combine) else self._late(name) for name, call in self.calls.items()}
        self.plan = LoadedPlan(layout, late, [])
        if not self.plan.is_plain:
            self.plan.connect(remotes, clock)
        self.remotes = remotes

    def _late(self, name: str) -> Predict:
        def call(batch: Batch) -> Batch:
            return self.calls[name](batch)

        return call

    def start(self, batch: Batch, **more: Any) -> "tuple[asyncio.Future[Batch], FlowCall]":
        flow, call = self.plan.flow, FlowCall(in_a_thread, **more)
        assert flow is not None
        return flow.start(batch, call), call

    async def run(self, batch: Batch, **more: Any) -> Batch:
        return await self.start(batch, **more)[0]

    def totals(self, *without: str) -> dict[tuple[str, str, str], int]:
        """What was counted, calls aside."""
        return {event: times for event, times in self.plan.counts.totals() if event[0] not in ("calls", *without)}


def faulty(name: str, *fates: str | tuple[str, float]) -> dict[str, Faulty]:
    """One deployment by its name; a fate is what happens, and after how many seconds (0.01 where not said)."""
    made = [Fate(fate) if isinstance(fate, str) else Fate(*fate) for fate in fates or (FINE,)]
    return {name: Faulty(name, made)}
