"""From a layout to a loaded plan: runtimes loaded, steps made ready, the cost of a call measured."""

import weakref
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aimass.core import plugins
from aimass.core.batch import Batch
from aimass.core.clock import Clock, SystemClock
from aimass.core.errors import AimassError, Invalid
from aimass.core.events import Trace
from aimass.core.ids import Digest
from aimass.core.policies import NO_POLICY
from aimass.core.signature import Signature
from aimass.graph.graph import INPUT, Source
from aimass.runtimes import RUNTIMES
from aimass.serving.batching.padding import Padding
from aimass.serving.combining import Combine
from aimass.serving.engine.assembly import Assembly
from aimass.serving.engine.costs import Cost, measure
from aimass.serving.engine.counts import NodeCounts
from aimass.serving.engine.flow import Flow
from aimass.serving.engine.frames import Predict
from aimass.serving.engine.nodes import LocalNode
from aimass.serving.layout import Layout, LayoutNode
from aimass.serving.remote import Remotes

Checkout = Callable[[Mapping[str, Digest]], Path]
Around = Callable[[str, Predict], Predict]
"""(node, its call) → the same call, watched."""


class _Closable(Protocol):
    def close(self) -> None: ...


@dataclass(frozen=True)
class Known:
    """What was measured and learnt of a plan when it was loaded before, on the same machine."""

    cost: Cost
    nodes: Mapping[str, Cost] = field(default_factory=dict)  # of a plan that is not plain
    padding: Padding | None = None


class LoadedPlan:
    """A revision in memory. ``run`` may be called from several threads at once, and checks nothing: the door has. It
    knows no policy and no other process. A plan with such nodes is called by its ``flow``, once it is connected; with
    at most ``inline_rows`` rows by ``run`` all the same, and by ``flow`` only where that failed.

    The runtimes are let go when nobody holds the plan any more: a call that still does keeps them, and counts nothing.
    """

    def __init__(
        self, layout: Layout, calls: Mapping[str, Predict], owned: list[_Closable], known: Known | None = None
    ) -> None:
        """``known``: nothing is measured again, and no made-up row runs."""
        self.plan = layout.plan
        self.signature: Signature = layout.signature
        self.counts = NodeCounts()
        self.flow: Flow | None = None
        self.padding = known.padding if known else None  # of ragged inputs, learnt by whoever loads it first
        self.file_bytes = 0  # of the files that it was loaded from
        self.is_plain = all(node.policy == NO_POLICY and not node.remote for node in layout.nodes_all())
        self._layout = layout
        weakref.finalize(self, _close, owned).atexit = False
        self._assembly = Assembly(layout, calls, self.counts)
        self._names = self._assembly.inputs
        self._frame = self._assembly.frame
        self._steps = self._frame.steps
        self._results = self._assembly.results
        self._blank = self._assembly.blank
        self._whole: Predict | None = calls[layout.nodes[0].name] if _is_whole(layout) else None
        costs = known.nodes if known else {} if self.is_plain else _costs(calls, layout)
        self._local = {} if self.is_plain else {name: LocalNode(name, calls[name], costs[name]) for name in calls}
        is_here = not any(node.remote or node.policy.breaker for node in layout.nodes_all())
        self._cost = known.cost if known else measure(self.run, layout.inputs) if is_here else _sum(costs.values())
        self._costs = costs
        self.inline_rows = self._cost.inline_rows if is_here else 0
        self.counts.clear()

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
            self._frame.run(values, trace)
        return {name: values[slot] for name, slot in self._results}

    def look(self, batch: Batch, trace: Trace) -> dict[str, Batch]:
        """The same in slow motion: the outputs of each node, those inside choices left out."""
        values = [*(batch[name] for name in self._names), *self._blank]
        self._frame.run(values, trace)
        return {step.name: {name: values[slot] for name, slot in step.writes} for step in self._steps}

    def connect(self, remotes: Remotes, clock: Clock | None = None) -> None:
        """Make the ``flow`` of a plan that is not plain; a deployment that it names and ``remotes`` lack is
        ``Unavailable``."""
        self.flow = Flow(self._layout, self._assembly, self._local, remotes, clock or SystemClock())

    @property
    def known(self) -> Known:
        """What whoever loads it again need not learn again."""
        return Known(self._cost, self._costs, self.padding)

    def warm_us(self, rows: int) -> float:
        """Predicted time of a call with so many rows, from the calls measured at load; of what runs here."""
        return self._cost.us(rows)


def bare(_: str, call: Predict) -> Predict:
    """Nothing around it."""
    return call


def load(
    layout: Layout, checkout: Checkout, gpus: float = 0.0, known: Known | None = None, around: Around = bare
) -> LoadedPlan:
    """The layout in memory; connected where all of it runs here; warm, unless what it costs is ``known``. ``checkout``
    gives a folder with a node's files, verified; ``around`` what stands around a node's calls. ``gpus``: see
    ``Runtime.load``.

    Raises what the runtime or the store raises; a plan that does not answer made-up rows is ``Invalid``.
    """
    owned: list[_Closable] = []
    paths: list[Path] = []

    def noted(files: Mapping[str, Digest]) -> Path:
        folder = checkout(files)
        paths.extend(folder / name for name in files)
        return folder

    try:
        calls = {node.name: _call(node, noted, gpus, owned, around) for node in layout.nodes_all() if _is_called(node)}
        plan = LoadedPlan(layout, calls, owned, known)
        plan.file_bytes = sum(path.stat().st_size for path in paths)
        if not plan.is_plain and not layout.apps:
            plan.connect({})
        return plan
    except AimassError:
        _close(owned)
        raise
    except Exception as error:
        _close(owned)
        raise Invalid(f"the {layout.plan} plan does not load: {type(error).__name__}: {error}") from error


def _is_called(node: LayoutNode) -> bool:
    return node.choice is None and not node.remote


def _call(node: LayoutNode, checkout: Checkout, gpus: float, owned: list[_Closable], around: Around) -> Predict:
    if node.combine:
        return Combine(node.combine, node.weights, node.classes, node.signature, node.quorum)
    runtime = plugins.load(RUNTIMES, node.runtime).load(checkout(node.files), node.signature, gpus)
    owned.append(runtime)
    return around(node.name, runtime.predict)


def _close(owned: list[_Closable]) -> None:
    for runtime in owned:
        runtime.close()


def _costs(calls: Mapping[str, Predict], layout: Layout) -> dict[str, Cost]:
    nodes = {node.name: node for node in layout.nodes_all()}
    return {name: measure(call, nodes[name].signature.inputs) for name, call in calls.items()}


def _sum(costs: Collection[Cost]) -> Cost:
    one, two = (sum(cost.us(rows) for cost in costs) for rows in (1, 2))
    return Cost(max(0.0, 2 * one - two), two - one)


def _is_whole(layout: Layout) -> bool:
    """One step whose own names are the service's: its answer is the plan's answer."""
    if len(layout.nodes) != 1 or not layout.nodes[0].runtime:
        return False
    node = layout.nodes[0]
    return (
        [(spec.name, Source(INPUT, spec.name)) for spec in layout.inputs] == list(node.inputs)
        and [Source(node.name, spec.name) for spec in layout.outputs] == list(layout.sources)
        and [spec.name for spec in node.signature.outputs] == [spec.name for spec in layout.outputs]
    )
