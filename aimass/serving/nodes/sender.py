"""How a gateway replica calls a node: rows that arrive while calls are out leave together in the next one."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

from aimass.core.batch import Batch
from aimass.core.clock import Clock
from aimass.core.errors import AimassError, TooLarge, Unavailable
from aimass.serving.batching.batcher import Batcher, Done, Observe
from aimass.serving.batching.rules import Rules
from aimass.serving.batching.waiting import Trip
from aimass.serving.nodes.environment import MAX_MESSAGE_BYTES
from aimass.serving.nodes.link import Link
from aimass.serving.nodes.wire import Errand, Greeting

PER_REPLICA = 2
"""Calls out at a time for each replica: while one runs, the next may be on its way, if it is full or overdue."""

PATIENCE = 1.5
"""Of the time that a call is predicted to take: so long rows wait for the one that is out, before a second leaves. With
two out at all times, as many rows make more and smaller calls (7,500 against 6,200 requests/s in a stub)."""

HOP_RUNS = 4
"""Runs' worth of rows that share a hop: the way there and back costs more than most runs; the node cuts long ones."""

HOP_S = 0.0015  # there and back over Serve's gRPC transport, which a call pays whatever its rows

CallsPerRow = Callable[[], float]
"""Of a revision: how many callers' calls a row stands for. Rows of several come here as one already."""


class Sender:
    """One per node and gateway replica; is the node's ``Remote``. Used from one event loop."""

    def __init__(
        self, name: str, link: Link, costs: Greeting, rules: Rules, clock: Clock, calls_per_row: CallsPerRow
    ) -> None:
        """``rules``: how many rows run together, how long they wait, and how many calls may."""
        self._calls_per_row = calls_per_row
        self._name = name
        self._link = link
        self._id = uuid4().hex[:12]
        self._replicas = 1
        fixed_s, row_s = costs.fixed_us / 1e6 + HOP_S, costs.row_us / 1e6
        self._batcher = Batcher(
            f"node {name!r}",
            self._run,
            Rules(_hop_rows(rules), rules.max_wait_s, 1, PER_REPLICA, rules.max_queue, PATIENCE),
            clock,
            lambda rows: fixed_s + row_s * rows,
        )

    def call(self, batch: Batch, rows: int, deadline_s: float | None) -> Awaitable[Batch]:
        """See ``Remote.call``."""
        return self._batcher.submit(batch, rows, deadline_s).answer

    def observe(self, observe: Observe) -> None:
        """Tell of every call that leaves."""
        self._batcher.observe = observe

    def resize(self, replicas: int) -> None:
        """So many replicas run now."""
        replicas = max(1, replicas)  # with none, one call must be out to bring the first
        if replicas != self._replicas:
            rules, self._replicas = self._batcher.rules, replicas
            rules.lanes, rules.width = replicas, replicas * PER_REPLICA
            self._batcher.kick()

    def _run(self, trip: Trip, done: Done) -> None:
        size = sum(array.nbytes for array in trip.batch.values())
        if size > MAX_MESSAGE_BYTES:
            raise TooLarge(f"{trip.rows} rows of {size} bytes are more than node {self._name!r} takes in one call")
        task = asyncio.ensure_future(self._travel(trip))
        trip.abandon = task.cancel
        task.add_done_callback(lambda _: _tell(task, done))

    async def _travel(self, trip: Trip) -> Batch:
        errand = Errand(
            rows=trip.rows,
            left_s=None if trip.deadline_s is None else trip.deadline_s - trip.left_s,
            sender=self._id,
            requests=trip.rows * self._calls_per_row(),
            waiting=self._batcher.waiting_rows * self._calls_per_row() / self._replicas,
            waited_s=trip.left_s - trip.entries[0].arrived_s,
        )
        outcome = await self._link.infer(trip.batch, errand)
        if isinstance(outcome, AimassError):
            raise outcome
        return outcome


def _hop_rows(rules: Rules) -> int:
    """Who wants each request to run by itself gets that."""
    return rules.max_rows * HOP_RUNS if rules.max_rows > 1 else 1


def _tell(task: "asyncio.Task[Batch]", done: Done) -> None:
    if task.cancelled():
        done({}, Unavailable("the call was let go"))
    elif error := task.exception():
        done({}, error)
    else:
        done(task.result(), None)
