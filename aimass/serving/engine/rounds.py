"""Calls that come to one flow in the same round of the event loop enter it together, as one batch."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter
from typing import Any

from aimass.core.batch import Batch, concat, take
from aimass.core.clock import Clock
from aimass.core.errors import Bug, Unavailable
from aimass.core.events import Course, Trace
from aimass.serving.batching.rules import Rules
from aimass.serving.engine.flight import FlowCall
from aimass.serving.engine.flow import Flow
from aimass.serving.engine.nodes import Threads
from aimass.serving.resilience.faults import is_passing

ALIKE_S = 0.005  # callers whose deadlines lie closer share the latest


class Passage:
    """One caller's rows on their way; ``outputs`` or ``error`` when they have arrived. Times: monotonic seconds."""

    __slots__ = (
        "batch",
        "began_s",
        "company",
        "course",
        "deadline_s",
        "error",
        "is_gone",
        "job",
        "missing",
        "node_s",
        "outputs",
        "rows",
        "share",
    )

    def __init__(self, batch: Batch, rows: int, deadline_s: float | None, job: Any) -> None:
        self.batch = batch
        self.rows = rows
        self.deadline_s = deadline_s
        self.job = job  # whatever the caller knows it by
        self.company: _Company | None = None
        self.began_s = 0.0
        self.share = 1.0  # of the run that it was part of, by rows
        self.outputs: Batch = {}
        self.error: Exception | None = None
        self.node_s: dict[str, float] | None = None  # of the whole run
        self.missing: list[str] = []
        self.course: Course | None = None  # of the whole run
        self.is_gone = False


class _Company:
    """Those who went together."""

    __slots__ = ("call", "passages", "work")

    def __init__(self, passages: list[Passage], call: FlowCall, work: "asyncio.Future[Batch]") -> None:
        self.passages = passages
        self.call = call
        self.work = work


class Rounds:
    """One per revision of a service in a gateway replica. ``arrived`` is told of those who have, company by company."""

    def __init__(
        self,
        what: str,
        flow: Flow,
        threads: Threads,
        clock: Clock,
        arrived: Callable[[list[Passage]], None],
        rules: Rules,
    ) -> None:
        """Of ``rules``, so many rows go together, and so many calls may be under way."""
        self._what = what
        self.flow = flow
        self._threads = threads
        self._now = clock.monotonic
        self._arrived = arrived
        self._held: list[Passage] = []
        self._rules = rules
        self.under_way = 0

    def enter(self, batch: Batch, rows: int, deadline_s: float | None, job: Any) -> Passage:
        """Leaves at the end of this round; ``Unavailable`` when too many are under way."""
        if self.under_way >= self._rules.max_queue:
            raise Unavailable(
                f"{self._what} has {self.under_way} calls under way, its limit; try again later", retry_after_s=1
            )
        self.under_way += 1
        passage = Passage(batch, rows, deadline_s, job)
        if not self._held:
            asyncio.get_running_loop().call_soon(self._leave)
        self._held.append(passage)
        return passage

    def take_back(self, passage: Passage) -> None:
        """Its caller is gone. What runs for nobody any more is stopped."""
        passage.is_gone = True
        company = passage.company
        if company is not None and all(one.is_gone for one in company.passages):
            company.work.cancel()

    def _leave(self) -> None:
        held, self._held = self._held, []
        for passages in self._companies(held):
            self._start(passages)

    def _companies(self, held: list[Passage]) -> Iterable[list[Passage]]:
        """Of at most so many rows, with deadlines that are alike, where rows may go together at all."""
        if len(held) == 1 or not self.flow.may_be_shared:
            return [[passage] for passage in held]
        open_ones: dict[int | None, list[Passage]] = {}
        rows: dict[int | None, int] = {}
        full: list[list[Passage]] = []
        for passage in held:
            alike = None if passage.deadline_s is None else int(passage.deadline_s / ALIKE_S)
            if rows.get(alike, 0) + passage.rows > self._rules.max_rows and alike in open_ones:
                full.append(open_ones.pop(alike))
                rows[alike] = 0
            open_ones.setdefault(alike, []).append(passage)
            rows[alike] = rows.get(alike, 0) + passage.rows
        return [*full, *open_ones.values()]

    def _start(self, passages: list[Passage]) -> None:
        there = [passage for passage in passages if not passage.is_gone]
        self.under_way -= len(passages) - len(there)
        if not there:
            return
        deadlines = [passage.deadline_s for passage in there if passage.deadline_s is not None]
        deadline_s = max(deadlines) if len(deadlines) == len(there) else None
        trace = Trace("")
        course = trace.course = Course(perf_counter(), trace.node_s)
        call = FlowCall(self._threads, deadline_s, trace, is_shared=len(there) > 1)
        began = self._now()
        work = self.flow.start(concat([passage.batch for passage in there]), call)
        company = _Company(there, call, work)
        for passage in there:
            passage.company, passage.began_s, passage.course = company, began, course
        work.add_done_callback(partial(self._arrive, company))

    def _arrive(self, company: _Company, work: "asyncio.Future[Batch]") -> None:
        passages, call = company.passages, company.call
        if work.cancelled():
            self.under_way -= len(passages)
            return
        error = work.exception()
        if error is not None and call.is_shared and not is_passing(error):
            for passage in passages:  # the fault may lie in one caller's rows
                self._start([passage])
            return
        self.under_way -= len(passages)
        for passage in passages:
            passage.company = None  # else both wait for a look for garbage, with all that they hold
        there = [passage for passage in passages if not passage.is_gone]
        if error is not None:
            for passage in there:
                passage.error = error if isinstance(error, Exception) else Bug(f"a node ended by {error!r}")
        else:
            self._share_out(company, work.result())
        if there:
            self._arrived(there)

    @staticmethod
    def _share_out(company: _Company, outputs: Batch) -> None:
        passages, call = company.passages, company.call
        total = sum(passage.rows for passage in passages)
        at = 0
        for passage in passages:
            passage.outputs = outputs if len(passages) == 1 else take(outputs, at, at + passage.rows)
            at += passage.rows
            passage.share = passage.rows / total
            passage.node_s = call.trace.node_s if call.trace else None
            passage.missing = call.missing
