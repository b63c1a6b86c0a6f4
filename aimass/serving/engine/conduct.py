"""How a node with a policy is called: one try after another or beside another, as the policy and the budget allow."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from aimass.core.batch import Batch
from aimass.core.clock import Clock
from aimass.core.errors import Timeout, Unavailable
from aimass.core.policies import NodePolicy
from aimass.serving.engine.counts import HEDGES, RETRIES, NodeCounts
from aimass.serving.engine.nodes import FlowNode, Note, Threads, Work, later
from aimass.serving.resilience.breaker import Breaker, BreakerState
from aimass.serving.resilience.budget import RetryBudget
from aimass.serving.resilience.faults import LeftAlone, is_passing, is_the_nodes

AGAIN = {RETRIES: "retry", HEDGES: "hedge"}


class Conduct:
    """A node by its policy: is itself what a flow calls. A node elsewhere is tried again where a try failed in passing
    (retry), and beside one that takes long (hedge: J. Dean and L. Barroso, "The Tail at Scale", 2013); both are taken
    from one budget. A try that was refused before it left is not made again: the node has too much to do already.

    The breaker hears of a node's own faults. A try that was refused, or that only the caller's deadline cut off, says
    nothing about the node: else one hasty caller could have it left alone for all.
    """

    def __init__(self, name: str, policy: NodePolicy, node: FlowNode, clock: Clock, counts: NodeCounts) -> None:
        self.name = name
        self.policy = policy
        self.node = node
        self.clock = clock
        self.counts = counts
        self.retries = policy.retries if node.is_elsewhere else 0
        self.hedge_s = policy.hedge_after_ms / 1e3 if policy.hedge_after_ms and node.is_elsewhere else None
        self.budget = RetryBudget(clock.monotonic())
        self.breaker = Breaker(policy.breaker) if policy.breaker else None
        if self.breaker is not None:
            counts.breakers[name] = partial(_state, self.breaker, clock)

    def start(self, inputs: Batch, rows: int, deadline_s: float | None, threads: Threads, note: Note) -> Work:
        def begin(until: float | None) -> Work:
            return self.node.start(inputs, rows, until, threads, note)

        return _Call(self, begin, rows, deadline_s, note).answer()

    @property
    def is_elsewhere(self) -> bool:
        return self.node.is_elsewhere

    def check(self, answer: Batch, rows: int) -> None:
        """Every try's answer was checked."""


@dataclass(slots=True)
class _Try:
    ticket: int  # the breaker's
    began_s: float
    until_s: float | None
    by_policy: bool  # that limit is the node's own deadline, not what the caller has left
    left: bool = True  # else it was refused at once


class _Call:
    """One call of the node: its tries, until one answers."""

    def __init__(
        self,
        conduct: Conduct,
        start: Callable[[float | None], Work],
        rows: int,
        deadline_s: float | None,
        note: Note,
    ) -> None:
        """``start`` begins a try, given when it must have ended."""
        policy = conduct.policy
        self._conduct = conduct
        self._start = start
        self._rows = rows
        self._deadline_s = deadline_s
        self._note = note
        self._own_s = None if policy.deadline_ms is None else policy.deadline_ms / 1e3
        self._out: dict[asyncio.Future[Batch], _Try] = {}
        self._retries = conduct.retries
        self._hedge_at: float | None = None
        self._error: Exception | None = None
        self._in_passing = False  # it did not come of what was asked

    async def answer(self) -> Batch:
        conduct, now = self._conduct, self._conduct.clock.monotonic()
        conduct.budget.earn(now)
        ticket = self._enter(now)
        if ticket is None:
            raise _left_alone(conduct, now)
        if conduct.hedge_s is not None:
            self._hedge_at = now + conduct.hedge_s
        try:
            self._begin(ticket, now)
            while True:
                await asyncio.wait(self._out, timeout=self._wait_s(now), return_when=asyncio.FIRST_COMPLETED)
                now = conduct.clock.monotonic()
                outputs = self._hear(now)
                if outputs is not None:
                    return outputs
                self._go_on(now)
        finally:
            for work, tried in self._out.items():
                self._leave(tried, None, now)
                give_up(work)

    def _enter(self, now: float) -> int | None:
        return 0 if self._conduct.breaker is None else self._conduct.breaker.enter(now)

    def _leave(self, tried: _Try, worked: bool | None, now: float) -> None:
        if self._conduct.breaker is not None:
            self._conduct.breaker.leave(tried.ticket, worked, now)

    def _begin(self, ticket: int, now: float) -> None:
        until, by_policy = self._deadline_s, False
        if self._own_s is not None and (until is None or now + self._own_s < until):
            until, by_policy = now + self._own_s, True
        tried = _Try(ticket, now, until, by_policy)
        try:
            work = _future(self._start(until))
        except Exception as error:  # noqa: BLE001 - a try that fails at once has failed like any other
            work = asyncio.get_running_loop().create_future()
            work.set_exception(error)
            tried.left = not self._conduct.node.is_elsewhere
        self._out[work] = tried

    def _wait_s(self, now: float) -> float | None:
        wakes = [tried.until_s for tried in self._out.values() if tried.until_s is not None]
        if self._hedge_at is not None:
            wakes.append(self._hedge_at)
        return max(0.0, min(wakes) - now) if wakes else None

    def _hear(self, now: float) -> Batch | None:
        """The first answer, if there is one; tries that failed or took too long are taken off."""
        for work in [work for work in self._out if work.done()]:
            tried = self._out.pop(work)
            if work.cancelled():
                self._fail(tried, Unavailable(f"node {self._conduct.name!r} was stopped; try again"), now)
                continue
            outputs = self._judge(tried, work, now)
            if outputs is not None:
                return outputs
        for work, tried in list(self._out.items()):
            if tried.until_s is not None and tried.until_s <= now:
                del self._out[work]
                give_up(work)
                self._fail(tried, _late(self._conduct.name, tried), now)
        return None

    def _judge(self, tried: _Try, work: "asyncio.Future[Batch]", now: float) -> Batch | None:
        try:
            outputs = work.result()
            self._conduct.node.check(outputs, self._rows)
        except Exception as error:
            if not is_the_nodes(error):
                self._leave(tried, True, now)
                raise
            self._fail(tried, error, now)
            return None
        self._leave(tried, True, now)
        return outputs

    def _fail(self, tried: _Try, error: Exception, now: float) -> None:
        self._error, self._in_passing = error, tried.left and is_passing(error)
        cut_off = not tried.by_policy and tried.until_s is not None and tried.until_s <= now
        self._leave(tried, None if cut_off or not tried.left else False, now)

    def _go_on(self, now: float) -> None:
        """Another try, if it is time and allowed; the last error, if nothing is out any more."""
        if not self._out:
            assert self._error is not None
            in_time = self._deadline_s is None or now < self._deadline_s
            if not (self._retries and in_time and self._in_passing and self._again(RETRIES, now)):
                raise self._error
            self._retries -= 1
        elif self._hedge_at is not None and now >= self._hedge_at:
            self._hedge_at = None
            self._again(HEDGES, now)

    def _again(self, what: str, now: float) -> bool:
        """Whether one more try was begun."""
        conduct, ticket = self._conduct, self._enter(now)
        if ticket is None:
            return False
        if not conduct.budget.take(now):
            if conduct.breaker is not None:
                conduct.breaker.leave(ticket, None, now)
            return False
        conduct.counts.add(what, conduct.name)
        self._note(AGAIN[what], conduct.name)
        self._begin(ticket, now)
        return True


def _state(breaker: Breaker, clock: Clock) -> BreakerState:
    return breaker.state(clock.monotonic())


def give_up(*works: "asyncio.Future[Batch]") -> None:
    """Nobody waits for these any more; what they raise is nobody's business."""
    for work in works:
        work.add_done_callback(_forget)
        work.cancel()


def _forget(work: "asyncio.Future[Batch]") -> None:
    if not work.cancelled():
        work.exception()


def _future(work: Work) -> "asyncio.Future[Batch]":
    if isinstance(work, Awaitable):
        return later(work)
    done: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()
    done.set_result(work)
    return done


def _left_alone(conduct: Conduct, now: float) -> LeftAlone:
    left_s = conduct.breaker.left_s(now) if conduct.breaker else 0.0
    for_s = f"for another {left_s:.1f} s" if left_s else "until one trial has ended"
    return LeftAlone(
        f"node {conduct.name!r} has failed too often and is left alone {for_s}", retry_after_s=max(1.0, left_s)
    )


def _late(name: str, tried: _Try) -> Timeout:
    assert tried.until_s is not None
    ms = (tried.until_s - tried.began_s) * 1e3
    whose = "its deadline" if tried.by_policy else "what the request's deadline left it"
    return Timeout(f"node {name!r} did not answer within {ms:.0f} ms, {whose}")
