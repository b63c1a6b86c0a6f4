"""Long calls in a few threads, fairly between services and within bounds; those of one plan that wait leave together.

A call with at most ``LoadedPlan.inline_rows`` rows does not come here: it runs on the event loop, without an await.
"""

import asyncio
import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol
from weakref import WeakKeyDictionary, ref

from aimass.core.batch import Batch
from aimass.core.clock import Clock, SystemClock
from aimass.core.errors import Unavailable
from aimass.core.events import Trace
from aimass.serving.batching.batcher import Batcher, Done, Observe
from aimass.serving.batching.rules import Cost, Rules
from aimass.serving.batching.waiting import Trip

HOP_S = 0.0001  # into a thread and back, which a call pays whatever its rows


class Runnable(Protocol):
    """What the threads run: a loaded plan, or a step of one. Told apart by identity."""

    @property
    def plan(self) -> str:
        """What it is called in traces that name no nodes."""

    def run(self, batch: Batch, trace: Trace | None = None) -> Batch: ...

    def warm_us(self, rows: int) -> float: ...


class Slot:
    """A service's share of the threads: ``rules.width`` calls at a time. Its queue's bound holds for all its plans."""

    def __init__(self, service: str, rules: Rules, what: str = "service") -> None:
        self.name = f"{what} {service!r}"  # in errors
        self.rules = rules
        self.running = 0
        self.batchers: WeakKeyDictionary[Runnable, Batcher] = WeakKeyDictionary()
        self.observers: WeakKeyDictionary[Runnable, Observe] = WeakKeyDictionary()
        """Who is told of the calls of which plan; see ``Batcher.observe``."""
        self.wanting: deque[Batcher] = deque()  # those that would start a call

    @property
    def waiting(self) -> int:
        """Requests of the service that wait."""
        return sum(batcher.waiting for batcher in self.batchers.values())


class Executor:
    """One per replica, used from its event loop only; needs no lock."""

    def __init__(self, threads: int, clock: Clock | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="aimass-run")
        self._free = threads
        self._turns: deque[Slot] = deque()  # slots that would start a call, in the order of their next turn
        self._clock: Clock = clock or SystemClock()

    @property
    def is_waited_for(self) -> bool:
        """Whether calls would run that have no thread."""
        return bool(self._turns)

    async def submit(
        self, slot: Slot, plan: Runnable, batch: Batch, rows: int, deadline_s: float | None, trace: Trace
    ) -> Batch:
        """The answer, from a thread, when it is the service's turn.

        ``deadline_s`` is on the monotonic clock. ``Unavailable`` at once when the queue is full, or longer than the
        deadline allows; ``Timeout`` when the deadline passes while the call waits or runs. A call that runs cannot be
        stopped: it keeps its thread until it ends. Cancelled while it waits, the call never runs. Sets the trace's
        ``queue_s`` and ``node_s``: of a call together with others, this one's part by its rows.
        """
        batcher = slot.batchers.get(plan) or self._add(slot, plan)
        entry = batcher.submit(batch, rows, deadline_s)
        outputs = await entry.answer
        trace.queue_s = entry.waited_s
        trace.node_s = entry.node_s or {plan.plan: entry.run_s}
        return outputs

    def close(self) -> None:
        """Take no more work; what runs is finished."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _add(self, slot: Slot, plan: Runnable) -> Batcher:
        runnable = ref(plan)

        def run(trip: Trip, done: Done) -> None:
            found = runnable()
            if found is None:
                raise Unavailable(f"this revision of {slot.name} was unloaded; try again")
            self._pool.submit(_work, found, trip, done, asyncio.get_running_loop())

        batcher = Batcher(slot.name, run, slot.rules, self._clock, _cost(plan), _Turn(self, slot))
        batcher.observe = slot.observers.get(plan)
        slot.batchers[plan] = batcher
        return batcher

    def let_in(self, slot: Slot, batcher: Batcher) -> bool:
        """Whether the service may start a call; else it gets in line, and ``batcher`` is kicked at its turn."""
        if self._free and slot.running < slot.rules.width:
            self._free -= 1
            slot.running += 1
            return True
        if batcher not in slot.wanting:
            slot.wanting.append(batcher)
        if slot not in self._turns:
            self._turns.append(slot)
        return False

    def end(self, slot: Slot) -> None:
        """A call of the service has ended: whoever is next may start one."""
        self._free += 1
        slot.running -= 1
        for _ in range(len(self._turns)):
            if not self._free or not self._turns:
                return
            self._take_turn(self._turns.popleft())

    def _take_turn(self, slot: Slot) -> None:
        """One call of the slot, if it may run one; a slot that wants more goes to the end of the line."""
        before = slot.running
        while slot.wanting and slot.running == before and before < slot.rules.width:
            slot.wanting.popleft().kick()
        if slot.wanting and slot not in self._turns:
            self._turns.append(slot)


class _Turn:
    """A slot's gate to the threads."""

    def __init__(self, executor: Executor, slot: Slot) -> None:
        self._executor = executor
        self._slot = slot

    def waiting(self, batcher: Batcher) -> int:
        return self._slot.waiting

    def take(self, batcher: Batcher) -> bool:
        return self._executor.let_in(self._slot, batcher)

    def give_back(self) -> None:
        self._executor.end(self._slot)


def _work(plan: Runnable, trip: Trip, done: Done, loop: asyncio.AbstractEventLoop) -> None:
    """In a thread. A future of the event loop's own would cost a round of it more."""
    outputs: Batch = {}
    error: BaseException | None = None
    trace = Trace("")
    try:
        outputs = plan.run(trip.batch, trace)
    except BaseException as raised:  # noqa: BLE001 - whatever it is, the callers get it
        error = raised
    trip.node_s = trace.node_s
    with contextlib.suppress(RuntimeError):  # the event loop has been closed: nobody waits any more
        loop.call_soon_threadsafe(done, outputs, error)


def _cost(plan: Runnable) -> Cost:
    """Linear in rows, from what the plan measured when it was loaded; keeps no reference to it."""
    one, nine = plan.warm_us(1) / 1e6, plan.warm_us(9) / 1e6
    row_s = max(0.0, (nine - one) / 8)
    fixed_s = max(0.0, one - row_s) + HOP_S
    return lambda rows: fixed_s + row_s * rows
