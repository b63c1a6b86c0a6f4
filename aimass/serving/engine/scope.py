"""A frame's steps under way: each begins as soon as its inputs are there; its policy says what its failure means."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from time import perf_counter

from aimass.core.batch import Batch
from aimass.core.errors import Unavailable
from aimass.serving.combining import Combine
from aimass.serving.engine.assembly import ChoiceStep
from aimass.serving.engine.choices import Asking
from aimass.serving.engine.conduct import give_up
from aimass.serving.engine.counts import CALLS, FAILURES, FALLBACKS
from aimass.serving.engine.flight import Flight
from aimass.serving.engine.frames import Frame, Port, Step, Values
from aimass.serving.engine.nodes import later
from aimass.serving.resilience.faults import fault_of, is_passing, is_the_nodes

Done = Callable[[Values], None]
Failed = Callable[[Exception], None]


class Scope:
    """For rows that go together. ``done`` is called once, when every step has ended, each with its outputs or lost;
    ``failed`` instead, when a step fails that its policy requires."""

    __slots__ = (
        "_done",
        "_failed",
        "_flight",
        "_frame",
        "_going",
        "_inner",
        "_left",
        "_out",
        "_ready",
        "_rows",
        "_settled",
        "_standby",
        "_values",
        "_waits",
    )

    def __init__(self, flight: Flight, frame: Frame, values: Values, rows: int, done: Done, failed: Failed) -> None:
        self._flight = flight
        self._frame = frame
        self._values = values
        self._rows = rows
        self._done: Done | None = done
        self._failed = failed
        self._waits = list(frame.waits)
        self._left = len(frame.steps)
        self._ready = deque(index for index, waits in enumerate(frame.waits) if not waits)
        self._settled = bytearray(len(frame.steps))
        self._standby: list[tuple[int, Port, Exception | None]] = []  # stand-ins that wait for what they read
        self._out: dict[asyncio.Future[Batch], str] = {}  # what is waited for, and whose it is
        self._inner: list[Scope] = []
        self._going = False

    def go(self) -> None:
        """Begin whatever can; ends when something must be waited for."""
        if self._going:
            return
        self._going = True
        while self._ready and self._done is not None:
            self._begin(self._ready.popleft())
        self._going = False
        if not self._left and self._done is not None:
            done, self._done = self._done, None
            done(self._values)

    def stop(self) -> None:
        """Nobody waits for it any more."""
        self._done = None
        give_up(*self._out)
        self._out.clear()
        for scope in self._inner:
            scope.stop()

    def waits_for(self) -> list[str]:
        """The nodes that were asked and have not answered."""
        return [*self._out.values(), *(name for scope in self._inner for name in scope.waits_for())]

    def _begin(self, index: int) -> None:
        step, values = self._frame.steps[index], self._values
        if isinstance(step, ChoiceStep):
            self._ask(index, step, step.chooser.ask(values), None)
            return
        inputs = {port: values[slot] for port, slot in step.reads}
        try:
            for array in inputs.values():
                if array is None:
                    self._go_without(index, step, inputs)
                    return
            self._call(index, step, inputs)
        except Exception as error:  # noqa: BLE001 - the node's policy says what becomes of the call
            self._fail(index, error)

    def _call(self, index: int, step: Step, inputs: Batch) -> None:
        flight, call = self._flight, self._flight.call
        flight.counts.add(CALLS, step.name)
        began = call.begin(step.name)
        work = flight.nodes[step.name].start(inputs, self._rows, call.deadline_s, call.threads, call.note)
        if isinstance(work, dict):
            self._fill(index, step, work, began)
            return
        future = later(work)
        self._out[future] = step.name
        future.add_done_callback(partial(self._back, index, began))

    def _back(self, index: int, began: float, work: "asyncio.Future[Batch]") -> None:
        if self._out.pop(work, None) is None:
            return  # it was given up
        step = self._frame.steps[index]
        try:
            if work.cancelled():
                raise Unavailable(f"node {step.name!r} was stopped; try again")
            outputs = work.result()
            self._flight.nodes[step.name].check(outputs, self._rows)
            self._fill(index, step, outputs, began)
        except Exception as error:  # noqa: BLE001 - the node's policy says what becomes of the call
            self._fail(index, error)
        self.go()

    def _fill(self, index: int, step: Step, outputs: Batch, began: float) -> None:
        for name, slot in step.writes:
            self._values[slot] = outputs[name]
        trace = self._flight.call.trace
        if trace is not None:
            trace.node_s[step.name] = perf_counter() - began
        self._settle(index)

    def _settle(self, index: int) -> None:
        """It gave its outputs, or is lost: those behind it need not wait for it any more."""
        self._left -= 1
        self._settled[index] = 1
        for follower in self._frame.followers[index]:
            self._waits[follower] -= 1
            if not self._waits[follower]:
                self._ready.append(follower)
        standby, self._standby = self._standby, []
        for waiting, port, error in standby:
            self._stand_in(waiting, port, error)

    def _go_without(self, index: int, step: Step, inputs: Batch) -> None:
        """Some of the inputs are lost: a combiner goes on while its quorum is there, every other node is lost too."""
        quorum = step.node.quorum
        present = sum(1 for array in inputs.values() if array is not None)
        if isinstance(step.call, Combine) and quorum is not None and present >= quorum:
            began = self._flight.call.begin(step.name)
            self._fill(index, step, step.call.combine_present(inputs), began)
        else:
            self._fail(index, None)

    def _fail(self, index: int, error: Exception | None) -> None:
        """The node failed, or (None) lacks what it reads."""
        flight, step = self._flight, self._frame.steps[index]
        if error is not None:
            flight.counts.add(FAILURES, step.name, fault_of(error))
            flight.call.note("failure", step.name, fault_of(error))
            if not is_the_nodes(error) or (flight.call.is_shared and not is_passing(error)):
                flight.fail(error)
                return
        if step.fallback is not None:
            flight.call.note("fallback", step.name, step.node.policy.fallback)
            self._stand_in(index, step.fallback, error)
        else:
            self._lose(index, error)

    def _lose(self, index: int, error: Exception | None) -> None:
        node = self._frame.steps[index].node
        if error is not None and node.policy.required:
            self._abort(error)
            return
        if error is not None:
            self._flight.lose(node.name, error)
        self._settle(index)

    def _stand_in(self, index: int, port: Port, error: Exception | None) -> None:
        """Run the fallback as soon as what it reads has been settled."""
        makers = self._frame.makers
        if any(slot in makers and not self._settled[makers[slot]] for slot, _ in port.frame.takes):
            self._standby.append((index, port, error))
            return

        def stood_in(values: Values) -> None:
            step, given = self._frame.steps[index], [values[slot] for slot in port.gives]
            if any(array is None for array in given):
                self._lose(index, error)
            else:
                self._flight.counts.add(FALLBACKS, step.name)
                self._flight.call.missing.append(step.name)
                for (_, slot), array in zip(step.writes, given, strict=True):
                    self._values[slot] = array
                self._settle(index)
            self.go()

        def failed_too(its_error: Exception) -> None:
            self._lose(index, error or its_error)
            self.go()

        self._start(port.frame, port.frame.open(self._values, None), self._rows, stood_in, failed_too)

    def _ask(self, index: int, step: ChoiceStep, asking: Asking, answers: list[Values] | None) -> None:
        """Run what the choice asks for, all of it beside each other, until it has what it wants."""
        try:
            wanted = asking.send(answers)  # type: ignore[arg-type]  # None begins it
        except StopIteration as end:
            if end.value is None:
                self._fail(index, None)
            else:
                step.fill(self._values, end.value)
                self._settle(index)
            return
        except Exception as error:  # noqa: BLE001 - the node's policy says what becomes of the call
            self._fail(index, error)
            return
        came: dict[int, Values] = {}

        def come(position: int, values: Values) -> None:
            came[position] = values
            if len(came) == len(wanted):
                self._ask(index, step, asking, [came[each] for each in range(len(wanted))])
                self.go()

        for position, one in enumerate(wanted):
            rows = self._rows if one.count is None else one.count
            self._start(one.port.frame, one.port.frame.open(one.around, one.rows), rows, partial(come, position))

    def _start(self, frame: Frame, values: Values, rows: int, done: Done, failed: Failed | None = None) -> None:
        """A frame inside this one; its failure is this one's, unless ``failed`` takes it."""
        scope = Scope(self._flight, frame, values, rows, done, failed or self._abort)
        self._inner.append(scope)
        scope.go()

    def _abort(self, error: Exception) -> None:
        self.stop()
        self._failed(error)
