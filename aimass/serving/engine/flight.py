"""One call of a flow under way: what it may take, what it had to do without, and its one answer or error."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

from aimass.core.batch import Batch
from aimass.core.clock import Clock
from aimass.core.errors import Bug, Timeout
from aimass.core.events import Trace
from aimass.serving.engine.counts import NodeCounts
from aimass.serving.engine.frames import Values
from aimass.serving.engine.nodes import FlowNode, Threads


@dataclass(slots=True)
class FlowCall:
    """One call, by one caller or by several whose rows go together. Times: monotonic seconds."""

    threads: Threads
    deadline_s: float | None = None
    trace: Trace | None = None  # gets the seconds of each node
    is_shared: bool = False  # a fault that may lie in one caller's rows fails it whole, and no node is given up for it
    missing: list[str] = field(default_factory=list)  # nodes that the outputs had to do without, or had a stand-in for

    def begin(self, node: str) -> float:
        """When a node began (``perf_counter``), where somebody wants to know."""
        if self.trace is None:
            return 0.0
        began, course = perf_counter(), self.trace.course
        if course is not None:
            course.node_at_s[node] = began - course.began_s
        return began

    def note(self, what: str, node: str, detail: str = "") -> None:
        """It happens now; see ``core.events.Course``."""
        if self.trace is not None and self.trace.course is not None:
            self.trace.course.note(what, node, detail)


class Under(Protocol):
    """What a flight has begun."""

    def stop(self) -> None: ...

    def waits_for(self) -> list[str]: ...


class Flight:
    """``answer`` may be cancelled at any time; whatever becomes of it, ``root`` is stopped then."""

    __slots__ = ("_began_s", "_clock", "_first", "_timer", "answer", "call", "counts", "nodes", "results", "root")

    def __init__(self, call: FlowCall, nodes: Mapping[str, FlowNode], clock: Clock, counts: NodeCounts) -> None:
        self.call = call
        self.nodes = nodes
        self.counts = counts
        self.answer: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()
        self.results: tuple[tuple[str, int], ...] = ()
        self.root: Under | None = None
        self._clock = clock
        self._first: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.answer.add_done_callback(self._end)
        if call.deadline_s is not None:
            self._set_deadline(call.deadline_s)

    def fail(self, error: Exception) -> None:
        """The call's one error."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self._stop()

    def lose(self, name: str, error: Exception) -> None:
        """Go on without the node."""
        self.call.missing.append(name)
        self._first = self._first or error

    def land(self, values: Values) -> None:
        """Every step has ended. An output that is lost is the first error that a node was lost to."""
        outputs = {name: values[slot] for name, slot in self.results}
        if any(array is None for array in outputs.values()):
            self.fail(self._first or Bug("no node gives an output of this plan"))
        elif not self.answer.done():
            self.answer.set_result(outputs)

    def _set_deadline(self, deadline_s: float) -> None:
        self._began_s = self._clock.monotonic()
        left_s = deadline_s - self._began_s
        if left_s > 0:
            self._timer = asyncio.get_running_loop().call_later(left_s, self._expire)
        else:
            self.fail(Timeout("the request's deadline passed before its first node could run; allow it more time"))

    def _expire(self) -> None:
        ms = (self._clock.monotonic() - self._began_s) * 1e3
        names = ", ".join(repr(name) for name in dict.fromkeys(self.root.waits_for() if self.root else ()))
        self.fail(
            Timeout(f"the request's deadline left its nodes {ms:.0f} ms, too few for {names}; allow it more time")
        )

    def _end(self, _: "asyncio.Future[Batch]") -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._stop()
        self.root = None  # else both wait for a look for garbage, with all that they hold

    def _stop(self) -> None:
        if self.root is not None:
            self.root.stop()
