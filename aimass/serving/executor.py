"""Long calls in a few threads, fairly between services and within bounds.

A call with at most ``LoadedPlan.inline_rows`` rows does not come here: it runs on the event loop, without an await.
"""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aimass.core.batch import Batch
from aimass.core.clock import Clock, SystemClock
from aimass.core.errors import Timeout, Unavailable
from aimass.core.events import Trace
from aimass.serving.loader import LoadedPlan


@dataclass(eq=False)
class Slot:
    """A service's share of the threads: calls that run at a time, and calls that may wait."""

    service: str
    max_concurrent: int
    max_queue: int
    running: int = 0
    waiting: "deque[asyncio.Future[None]]" = field(default_factory=deque)


class Executor:
    """One per replica, used from its event loop only; needs no lock."""

    def __init__(self, threads: int, clock: Clock | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="aimass-run")
        self._free = threads
        self._turns: deque[Slot] = deque()  # slots with waiting calls, in the order of their next turn
        self._clock: Clock = clock or SystemClock()

    async def submit(
        self, slot: Slot, plan: LoadedPlan, batch: Batch, rows: int, deadline_s: float | None, trace: Trace
    ) -> Batch:
        """The answer, from a thread, when it is the service's turn.

        ``deadline_s`` is on the monotonic clock. A full queue is ``Unavailable``; a deadline that passes while the
        call waits or runs is ``Timeout``. A call that runs cannot be stopped: it keeps its thread until it ends.
        Cancelled while it waits, the call never runs. Sets the trace's ``queue_s`` and ``node_s``.
        """
        arrived = self._clock.monotonic()
        if deadline_s is not None and deadline_s <= arrived:
            raise Timeout(f"the request's deadline passed before service {slot.service!r} could run it")
        if self._free and slot.running < slot.max_concurrent and not slot.waiting:
            self._take(slot)
        else:
            await self._wait(slot, plan.warm_us(rows), deadline_s)
        trace.queue_s = self._clock.monotonic() - arrived
        scratch = Trace(trace.request_id)  # the thread may outlive the request, and its trace is read then
        work = asyncio.get_running_loop().run_in_executor(self._pool, plan.run, batch, scratch)
        work.add_done_callback(lambda done: self._end(slot, done))
        await asyncio.wait({work}, timeout=self._left(deadline_s))
        if not work.done():
            raise Timeout(f"service {slot.service!r} did not answer before the request's deadline; allow it more time")
        trace.node_s = scratch.node_s
        return work.result()

    def close(self) -> None:
        """Take no more work; what runs is finished."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _wait(self, slot: Slot, call_us: float, deadline_s: float | None) -> None:
        """Return when this call may run: a thread is then taken for it."""
        if len(slot.waiting) >= slot.max_queue:
            raise Unavailable(
                f"service {slot.service!r} has {len(slot.waiting)} calls waiting, its limit; try again later",
                retry_after_s=max(1.0, len(slot.waiting) * call_us / 1e6 / slot.max_concurrent),
            )
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        left_s = self._left(deadline_s)
        timer = None if left_s is None else loop.call_later(left_s, _expire, turn, slot.service)
        if slot not in self._turns:
            self._turns.append(slot)
        slot.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_back(slot)  # its turn had come in the same tick
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if turn in slot.waiting:
                slot.waiting.remove(turn)

    def _take(self, slot: Slot) -> None:
        self._free -= 1
        slot.running += 1

    def _end(self, slot: Slot, work: "asyncio.Future[Batch]") -> None:
        if not work.cancelled():
            work.exception()  # seen, also where nobody waits any more
        self._give_back(slot)

    def _give_back(self, slot: Slot) -> None:
        self._free += 1
        slot.running -= 1
        for _ in range(len(self._turns)):
            if not self._free:
                return
            self._let_in(self._turns.popleft())

    def _let_in(self, slot: Slot) -> None:
        """The slot's first waiting call, if the slot may run one; a slot with more goes to the end of the line."""
        while slot.waiting and slot.running < slot.max_concurrent:
            turn = slot.waiting.popleft()
            if not turn.done():
                self._take(slot)
                turn.set_result(None)
                break
        if slot.waiting:
            self._turns.append(slot)

    def _left(self, deadline_s: float | None) -> float | None:
        return None if deadline_s is None else max(0.0, deadline_s - self._clock.monotonic())


def _expire(turn: "asyncio.Future[None]", service: str) -> None:
    if not turn.done():
        turn.set_exception(Timeout(f"the request's deadline passed in the queue of service {service!r}"))
