"""Calls that wait for the same thing leave together. Knows neither threads nor the wire: ``run`` does.

A row leaves at once while fewer than ``lanes`` calls are out: a lone request never waits. Else it waits, and leaves
with the others when a call comes back, when ``max_rows`` are there, or when the oldest has waited ``max_wait_s``; in
the last two cases only while fewer than ``width`` calls are out. Callers who have just been answered may be about to
ask again: where there are several, the first waits for the rest, for a tenth of the last call's time at most. Without
that, sixteen callers of a call of 20 ms would fall into two halves that wait for each other.
"""

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import Protocol

from aimass.core.batch import Batch, concat, take
from aimass.core.clock import Clock
from aimass.core.errors import AimassError, Bug, Kind, Timeout
from aimass.serving.batching.rules import COMPANY_PART, TIMER_S, Cost, Pace, Rules, check_deadline, check_queue
from aimass.serving.batching.waiting import Entry, Trip, Waiting, shapes

Done = Callable[[Batch, BaseException | None], None]
Run = Callable[[Trip, Done], None]
"""Starts a call; ``done`` gets its outputs, or the error, on the event loop, once."""

Observe = Callable[[int, list[float]], None]
"""(rows of a call that has left, seconds that each of its requests had waited)."""

NOT_THE_ROWS = (Kind.UNAVAILABLE, Kind.TIMEOUT)  # failures that fewer rows would not mend


class Gate(Protocol):
    """Leave to start a call, where several batchers share one runtime and one queue's bound."""

    def waiting(self, batcher: "Batcher") -> int:
        """Requests that count against the queue's bound."""

    def take(self, batcher: "Batcher") -> bool:
        """Whether it may start now. If not, the gate kicks the batcher when it may."""

    def give_back(self) -> None:
        """A call that was let in has ended."""


class OpenGate:
    """Lets everything in."""

    def waiting(self, batcher: "Batcher") -> int:
        return batcher.waiting

    def take(self, batcher: "Batcher") -> bool:
        return True

    def give_back(self) -> None:
        pass


class Batcher:
    """One per thing that runs calls; used from one event loop only.

    ``what`` names it in errors. A call that fails for its rows' sake is run again in halves, so that a bad row fails
    its own request only.
    """

    def __init__(
        self, what: str, run: Run, rules: Rules, clock: Clock, cost: Cost | None = None, gate: Gate | None = None
    ) -> None:
        self._what = what
        self._run = run
        self.rules = rules
        self._clock = clock
        self._gate: Gate = gate or OpenGate()
        self.pace = Pace(cost)
        self._waiting = Waiting()
        self._out: list[Trip] = []
        self._company = 1  # requests that there may be soon: those that wait, and those that have just been answered
        self._company_until = 0.0
        self._asked_s: float | None = None  # since when the gate has kept the next call in
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = 0.0
        self.observe: Observe | None = None

    @property
    def waiting(self) -> int:
        """Requests that have not left."""
        return len(self._waiting)

    @property
    def waiting_rows(self) -> int:
        """Their rows."""
        return self._waiting.rows

    @property
    def out(self) -> int:
        """Calls under way."""
        return len(self._out)

    def submit(self, batch: Batch, rows: int, deadline_s: float | None = None) -> Entry:
        """The rows on their way; cancel the entry's ``answer`` to take them back.

        ``deadline_s`` is on the monotonic clock: past it the answer is ``Timeout``, and rows that still wait never run.
        When others could go in their stead, so are rows that could not be back in time.
        ``Unavailable`` is raised at once when the queue is full, or too long for the deadline.
        """
        now = self._clock.monotonic()
        left_s = None if deadline_s is None else deadline_s - now
        if left_s is not None and left_s <= 0:
            raise Timeout(f"the request's deadline passed before {self._what} could run it")
        if self._waiting or self._out:
            wait_s = self.predict_wait_s(now)
            check_queue(self._what, self._gate.waiting(self), self.rules.max_queue, wait_s)
            together = min(self._max_rows, self._waiting.rows % self._max_rows + rows)
            check_deadline(self._what, left_s, wait_s, self.pace.predict_s(together))
        loop = asyncio.get_running_loop()
        entry = Entry(batch, rows, shapes(batch), now, deadline_s, loop.create_future())
        if left_s is not None:
            entry.timer = loop.call_later(left_s, self._expire, entry)
        entry.answer.add_done_callback(lambda _: self._settled(entry))
        self._waiting.add(entry)
        self.kick()
        return entry

    def predict_wait_s(self, now: float) -> float:
        """Seconds until a call that came now would leave."""
        rules, rows = self.rules, self._max_rows
        if len(self._out) < rules.lanes and not self._waiting:
            return 0.0
        first = 0.0
        if len(self._out) >= rules.lanes:
            back_s = min(trip.left_s + self.pace.predict_s(trip.rows) for trip in self._out)
            first = min(max(0.0, back_s - now), self._budget_s() if len(self._out) < rules.width else math.inf)
        whole_calls = self._waiting.rows // rows
        return first + whole_calls * self.pace.predict_s(rows) / rules.width if whole_calls else first

    def kick(self) -> None:
        """Let leave what may leave now; to be called when ``rules`` have changed, or the gate has opened."""
        while self._waiting and len(self._out) < self.rules.width:
            now = self._clock.monotonic()
            first = self._next(now)
            if first is None:
                return
            if not self._gate.take(self):
                self._asked_s = self._asked_s or now
                return
            self._leave(first, now)

    @property
    def _max_rows(self) -> int:
        return min(self.rules.max_rows, self.pace.enough_rows)

    def _budget_s(self) -> float:
        """How long the oldest waits for a call to come back where another may be out."""
        if not self.rules.patience:
            return self.rules.max_wait_s
        rows = min(self._max_rows, max(1, self._waiting.rows))
        return max(self.rules.max_wait_s, self.rules.patience * self.pace.predict_s(rows))

    def _next(self, now: float) -> Entry | None:
        """The first of those that may leave; if nobody may, a timer is set for when somebody will."""
        oldest = self._waiting.oldest
        if len(self._out) < self.rules.lanes:
            due = self._company_until if len(self._waiting) < self._company else now
        else:
            due = oldest.arrived_s + self._budget_s()
        if due <= now:
            return oldest
        full = self._waiting.full(self._max_rows)
        if full is None:
            self._wake(due, due - now)
        return full

    def _wake(self, at: float, seconds: float) -> None:
        if self._timer is not None:
            if self._wakes_at == at and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._wakes_at = at
        self._timer = asyncio.get_running_loop().call_later(seconds, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self.kick()

    def _leave(self, first: Entry, now: float) -> None:
        run_s = self.pace.predict_s(min(self._max_rows, self._waiting.rows))
        entries, late = self._waiting.take(first, self._max_rows, now + run_s)
        for entry in late:
            entry.answer.set_exception(Timeout(f"{self._what} was too busy to answer before the request's deadline"))
        if not entries:
            self._gate.give_back()
            return
        if self.observe is not None:
            self.observe(sum(entry.rows for entry in entries), [now - entry.arrived_s for entry in entries])
        self._start(entries, [])

    def _start(self, entries: list[Entry], rest: list[list[Entry]]) -> None:
        trip = Trip(entries, concat([entry.batch for entry in entries]), self._clock.monotonic())
        trip.rest = rest
        trip.asked_s, self._asked_s = self._asked_s or trip.left_s, None
        self._out.append(trip)
        for entry in entries:
            entry.trip = trip
        try:
            self._run(trip, partial(self._back, trip))
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers get it
            asyncio.get_running_loop().call_soon(self._back, trip, {}, error)

    def _back(self, trip: Trip, outputs: Batch, error: BaseException | None) -> None:
        now = self._clock.monotonic()
        self._out.remove(trip)
        for entry in trip.entries:
            entry.trip = None  # else both wait for a look for garbage, with all that they hold
        if error is None:
            error = self._deliver(trip, outputs, now)
        if error is not None:
            self._fail(trip, error)
        while trip.rest:
            part = [entry for entry in trip.rest.pop() if not entry.answer.done()]
            if part:
                self._start(part, trip.rest)
                return
        self._gate.give_back()
        self.kick()

    def _deliver(self, trip: Trip, outputs: Batch, now: float) -> Exception | None:
        """Each one's rows to each; the error if these are not the rows that were asked for."""
        for name, array in outputs.items():
            if array.shape[:1] != (trip.rows,):
                return Bug(f"{self._what} gave {name!r} of shape {list(array.shape)} for {trip.rows} rows")
        took_s = now - trip.left_s
        self.pace.learn(trip.rows, now - trip.asked_s)
        self._company = len(self._waiting)
        wait_s = min(COMPANY_PART * took_s, self.rules.max_wait_s)
        self._company_until = now + wait_s if wait_s >= TIMER_S else now
        at = 0
        for entry in trip.entries:
            if not entry.answer.done():
                mine = outputs if len(trip.entries) == 1 else take(outputs, at, at + entry.rows)
                self._company += 1
                entry.deliver(mine, trip, took_s)
            at += entry.rows
        if wait_s >= TIMER_S:  # they are on their way back only once their answers have been written
            asyncio.get_running_loop().call_soon(self._answered, wait_s)
        return None

    def _answered(self, wait_s: float) -> None:
        self._company_until = self._clock.monotonic() + wait_s
        self.kick()

    def _fail(self, trip: Trip, error: BaseException) -> None:
        whole = isinstance(error, AimassError) and error.kind in NOT_THE_ROWS
        if len(trip.entries) > 1 and not whole:
            half = len(trip.entries) // 2
            trip.rest += [trip.entries[half:], trip.entries[:half]]
            return
        for entry in trip.entries:
            if not entry.answer.done():
                entry.answer.set_exception(error)

    def _expire(self, entry: Entry) -> None:
        if entry.answer.done():
            return
        where = "in the queue of" if entry.is_waiting else "before an answer of"
        entry.answer.set_exception(Timeout(f"the request's deadline passed {where} {self._what}"))

    def _settled(self, entry: Entry) -> None:
        """An answer is there, or nobody wants it any more."""
        if entry.timer is not None:
            entry.timer.cancel()
        if not entry.answer.cancelled():
            entry.answer.exception()  # seen, also where its caller is gone
        self._waiting.discard(entry)
        trip = entry.trip
        if trip is not None and not trip.is_wanted and trip in self._out:
            trip.abandon()
