"""Mirrored calls run by a shadow's plan, in a thread or through its flow, and compared with what was answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter, thread_time

from aimass.core.batch import Batch, concat
from aimass.core.errors import AimassError, Unavailable
from aimass.core.events import Trace
from aimass.gateway.shadows.counts import Lone, Outcome
from aimass.gateway.shadows.queue import Mirrored
from aimass.serving.engine.flight import FlowCall
from aimass.serving.engine.flow import Flow
from aimass.serving.engine.nodes import Threads
from aimass.serving.loader import LoadedPlan
from aimass.serving.shadows.beside import Beside
from aimass.serving.shadows.comparing import Compared, Comparer
from aimass.serving.shadows.pairing import PRIMARY, SHADOW

Timed = tuple[Batch, dict[str, Lone]]


@dataclass(frozen=True)
class Work:
    """One shadow's plan, by what its outputs are compared, and the primary's plan where it may run beside it. Of a
    node's shadow the plan gives both: ``beside`` says which nodes are whose."""

    plan: LoadedPlan
    comparer: Comparer
    primary: LoadedPlan | None = None
    beside: Beside | None = None
    is_timed: bool = True
    primary_first: bool = False  # in turns, so that neither always finds the caches cold


def run_in_thread(work: Work, calls: Sequence[Mirrored]) -> Outcome:
    """Blocks. What is timed is the first call, which runs alone on both; the others run as one batch. Never raises for
    a call: what fails is counted."""
    tally, rest = _Tally(work), list(calls)
    if work.is_timed:
        first = rest.pop(0)
        tally.lone(first, partial(_timed, work, first))
    if rest:
        tally.together(rest, work.plan.run)
    return tally.outcome()


async def run_in_flow(work: Work, calls: Sequence[Mirrored], threads: Threads, deadline_s: float) -> Outcome:
    """The same for a plan whose nodes may be elsewhere. What its nodes took stands for its processor time, and the
    primary's plan does not run again."""
    tally, rest, flow = _Tally(work), list(calls), work.plan.flow
    assert flow is not None
    if work.is_timed:
        first, trace, began = rest.pop(0), Trace(""), perf_counter()
        answer = await _flown(flow, first.inputs, FlowCall(threads, deadline_s, trace))
        lone = {SHADOW: Lone(first.rows, perf_counter() - began, sum(trace.node_s.values()))}
        tally.lone(first, lambda: (_good(answer), lone))
    for group in [rest] if flow.may_be_shared else [[call] for call in rest]:
        if group:
            inputs = concat([call.inputs for call in group])
            found = await _flown(flow, inputs, FlowCall(threads, deadline_s, is_shared=len(group) > 1))
            tally.take(group, partial(_good, found))
    return tally.outcome()


async def _flown(flow: Flow, batch: Batch, call: FlowCall) -> Batch | Exception:
    """The outputs, or why there are none; an answer that had to do without a node is none to compare."""
    try:
        outputs = await flow.start(batch, call)
    except Exception as error:  # noqa: BLE001 - a shadow may fail in any way; it is counted
        return error
    if call.missing:
        return Unavailable(f"it had to do without {', '.join(call.missing)}")
    return outputs


def _good(answer: Batch | Exception) -> Batch:
    if isinstance(answer, Exception):
        raise answer
    return answer


def _timed(work: Work, call: Mirrored) -> Timed:
    if work.beside is not None:
        trace, seconds, cpu_s = Trace(""), perf_counter(), thread_time()
        outputs = work.plan.run(call.inputs, trace)
        seconds, cpu_s = perf_counter() - seconds, thread_time() - cpu_s
        parts = work.beside.parts(trace.node_s)
        return outputs, {who: Lone(call.rows, part, cpu_s * part / max(seconds, part)) for who, part in parts.items()}
    lone: dict[str, Lone] = {}
    if work.primary is not None and work.primary_first:
        lone[PRIMARY] = _alone(work.primary, call)[1]
    outputs, lone[SHADOW] = _alone(work.plan, call)
    if work.primary is not None and not work.primary_first:
        lone[PRIMARY] = _alone(work.primary, call)[1]
    return outputs, lone


def _alone(plan: LoadedPlan, call: Mirrored) -> tuple[Batch, Lone]:
    began, cpu_s = perf_counter(), thread_time()
    outputs = plan.run(call.inputs)
    return outputs, Lone(call.rows, perf_counter() - began, thread_time() - cpu_s)


@dataclass
class _Tally:
    """Collects what becomes of calls."""

    work: Work
    calls: int = 0
    compared: list[Compared] = field(default_factory=list)
    timed: dict[str, Lone] = field(default_factory=dict)
    errors: int = 0
    reason: str = ""

    def lone(self, call: Mirrored, run: Callable[[], Timed]) -> None:
        """One call that is timed."""

        def timed() -> Batch:
            outputs, found = run()
            self.timed = found
            return outputs

        self.take([call], timed)

    def together(self, calls: Sequence[Mirrored], run: Callable[[Batch], Batch]) -> None:
        """Calls as one batch; one by one where that fails, so that one caller's rows do not void another's."""
        if len(calls) > 1 and self._try(calls, partial(run, concat([call.inputs for call in calls]))):
            return
        for call in calls:
            self.take([call], partial(run, call.inputs))

    def take(self, calls: Sequence[Mirrored], run: Callable[[], Batch]) -> None:
        """Calls whose errors are counted."""
        error = self._error(calls, run)
        if error is not None:
            self.errors += len(calls)
            self.reason = error.message if isinstance(error, AimassError) else f"{type(error).__name__}: {error}"

    def outcome(self) -> Outcome:
        return Outcome(self.calls, tuple(self.compared), self.timed, self.errors, self.reason)

    def _try(self, calls: Sequence[Mirrored], run: Callable[[], Batch]) -> bool:
        return self._error(calls, run) is None

    def _error(self, calls: Sequence[Mirrored], run: Callable[[], Batch]) -> Exception | None:
        try:
            outputs = run()
            padding = self.work.plan.padding
            if padding is not None and calls[0].length:
                outputs = padding.cut(outputs, calls[0].length)
            if self.work.beside is not None:
                expected, outputs = self.work.beside.split(outputs)
            else:
                expected = concat([call.outputs for call in calls])
            self.compared.append(self.work.comparer.compare(expected, outputs))
        except Exception as error:  # noqa: BLE001 - a shadow may fail in any way; it is counted
            return error
        self.calls += len(calls)
        return None
