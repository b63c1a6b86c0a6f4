"""From a layout to a loaded plan: runtimes loaded, steps precompiled, the cost of a call measured."""

import statistics
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from aimass.core import plugins
from aimass.core.batch import Batch
from aimass.core.errors import AimassError, Invalid
from aimass.core.events import Trace
from aimass.core.ids import Digest
from aimass.core.signature import Signature
from aimass.graph.graph import INPUT, Source
from aimass.runtimes import RUNTIMES
from aimass.runtimes.samples import random_rows
from aimass.serving.combining import Combine
from aimass.serving.layout import Layout, LayoutNode

INLINE_US = 1000.0
"""Calls predicted to take less run on the event loop; a thread hop costs 50 to 100 µs and a second core's time."""

ENOUGH_S = 0.1  # of measuring per batch size

Checkout = Callable[[Mapping[str, Digest]], Path]
Predict = Callable[[Batch], Batch]


class _Closable(Protocol):
    def close(self) -> None: ...


class Step:
    """One node ready to run on a list of values: which slots it reads, what it calls, which slots it fills."""

    __slots__ = ("call", "name", "reads", "writes")

    def __init__(
        self, name: str, call: Predict, reads: tuple[tuple[str, int], ...], writes: tuple[tuple[str, int], ...]
    ) -> None:
        self.name = name
        self.call = call
        self.reads = reads
        self.writes = writes

    def run(self, values: list[Any]) -> None:
        answer = self.call({port: values[slot] for port, slot in self.reads})
        for name, slot in self.writes:
            values[slot] = answer[name]


class LoadedPlan:
    """A revision in memory. ``run`` may be called from several threads at once and checks nothing: the door has.

    The runtimes are let go when nobody holds the plan any more: a call that still does keeps them, and counts nothing.
    """

    def __init__(self, layout: Layout, calls: list[Predict], owned: list[_Closable]) -> None:
        self.plan = layout.plan
        self.signature: Signature = layout.signature
        weakref.finalize(self, _close, owned).atexit = False
        self._names = tuple(spec.name for spec in layout.inputs)
        slots = {Source(INPUT, name): index for index, name in enumerate(self._names)}
        self._steps: list[Step] = []
        for node, call in zip(layout.nodes, calls, strict=True):
            reads = tuple((port, slots[source]) for port, source in node.inputs)
            for spec in node.signature.outputs:
                slots[Source(node.name, spec.name)] = len(slots)
            writes = tuple((spec.name, slots[Source(node.name, spec.name)]) for spec in node.signature.outputs)
            self._steps.append(Step(node.name, call, reads, writes))
        self._results = tuple(
            (spec.name, slots[source]) for spec, source in zip(layout.outputs, layout.sources, strict=True)
        )
        self._blank = [None] * (len(slots) - len(self._names))
        self._whole: Predict | None = calls[0] if _is_whole(layout) else None
        self._fixed_us, self._row_us = self._measure()
        self.inline_rows = self._inline_rows()

    def run(self, batch: Batch, trace: Trace | None = None) -> Batch:
        """The outputs for the rows of ``batch``, which must fit ``signature``. Given a trace, the seconds of each
        node are added to it; a merged plan has no nodes to time."""
        if self._whole is not None:
            return self._whole(batch)
        values: list[Any] = [batch[name] for name in self._names]
        values += self._blank
        if trace is None:
            for step in self._steps:
                step.run(values)
        else:
            before = perf_counter()
            for step in self._steps:
                step.run(values)
                after = perf_counter()
                trace.node_s[step.name] = after - before
                before = after
        return {name: values[slot] for name, slot in self._results}

    def warm_us(self, rows: int) -> float:
        """Predicted time of a call with so many rows, from the calls measured at load."""
        return self._fixed_us + self._row_us * rows

    def _measure(self) -> tuple[float, float]:
        one, eight = (self._time_us(rows) for rows in (1, 8))
        row_us = max(0.0, (eight - one) / 7)
        return max(0.0, one - row_us), row_us

    def _time_us(self, rows: int, times: int = 5) -> float:
        batch = random_rows(self.signature.inputs, rows, np.random.default_rng(0))
        self.run(batch)  # the first call also allocates
        taken: list[float] = []
        while len(taken) < times and sum(taken) < ENOUGH_S:
            before = perf_counter()
            self.run(batch)
            taken.append(perf_counter() - before)
        return statistics.median(taken) * 1e6

    def _inline_rows(self) -> int:
        """The most rows that may run on the event loop; 0 where a free dimension leaves the cost open."""
        if any(-1 in spec.shape[1:] for spec in self.signature.inputs):
            return 0
        if self._fixed_us + self._row_us >= INLINE_US:
            return 0
        return int((INLINE_US - self._fixed_us) / max(self._row_us, 1e-3))


def load(layout: Layout, checkout: Checkout, device: str = "auto") -> LoadedPlan:
    """The layout in memory, warm. ``checkout`` gives a folder with a node's files, verified.

    Raises what the runtime or the store raises; a plan that does not answer made-up rows is ``Invalid``.
    """
    owned: list[_Closable] = []
    try:
        calls = [_call(node, checkout, device, owned) for node in layout.nodes]
        return LoadedPlan(layout, calls, owned)
    except AimassError:
        _close(owned)
        raise
    except Exception as error:
        _close(owned)
        raise Invalid(f"the {layout.plan} plan does not load: {type(error).__name__}: {error}") from error


def _call(node: LayoutNode, checkout: Checkout, device: str, owned: list[_Closable]) -> Predict:
    if node.combine:
        return Combine(node.combine, node.weights, node.classes, node.signature)
    runtime = plugins.load(RUNTIMES, node.runtime).load(checkout(node.files), node.signature, device)
    owned.append(runtime)
    predict: Predict = runtime.predict
    return predict


def _close(owned: list[_Closable]) -> None:
    for runtime in owned:
        runtime.close()


def _is_whole(layout: Layout) -> bool:
    """One step whose own names are the service's: its answer is the plan's answer."""
    if len(layout.nodes) != 1 or layout.nodes[0].combine:
        return False
    node = layout.nodes[0]
    return (
        [(spec.name, Source(INPUT, spec.name)) for spec in layout.inputs] == list(node.inputs)
        and [Source(node.name, spec.name) for spec in layout.outputs] == list(layout.sources)
        and [spec.name for spec in node.signature.outputs] == [spec.name for spec in layout.outputs]
    )
