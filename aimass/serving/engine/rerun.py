"""A stored revision run once more, away from its replicas: node by node, whatever its plan, its policies left out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from time import perf_counter

from aimass.core.batch import Batch, row_count
from aimass.core.events import Trace
from aimass.core.policies import NO_POLICY
from aimass.graph.graph import Graph
from aimass.serving.engine.assembly import FALLBACK
from aimass.serving.engine.costs import Cost
from aimass.serving.engine.frames import Predict
from aimass.serving.layout import LayoutNode
from aimass.serving.loader import Checkout, Known, load
from aimass.serving.plans.fused import compile_fused

UNMEASURED = Known(Cost(0.0, 0.0))  # it runs once, so nothing is measured before


@dataclass(frozen=True)
class NodeRun:
    """One node: the rows that came to it, what it gave for them (nothing is known of a combiner inside a choice), and
    the seconds that it took."""

    name: str
    rows: int
    outputs: Batch
    seconds: float


@dataclass(frozen=True)
class Rerun:
    """The service's outputs, and every node that ran, in the order in which they ended."""

    outputs: Batch
    nodes: tuple[NodeRun, ...]


def rerun(graph: Graph, checkout: Checkout, batch: Batch) -> Rerun:
    """The answer of the graph for rows that fit its inputs. Errors of nodes pass through."""
    found: dict[str, NodeRun] = {}

    def watched(name: str, call: Predict) -> Predict:
        def run(given: Batch) -> Batch:
            began = perf_counter()
            outputs = call(given)
            found[name] = NodeRun(name, row_count(given), outputs, perf_counter() - began)
            return outputs

        return run

    layout = compile_fused(graph)
    plan = load(replace(layout, nodes=_without_policies(layout.nodes)), checkout, known=UNMEASURED, around=watched)
    trace = Trace("")
    values = plan.look(batch, trace)
    for name, seconds in trace.node_s.items():
        if name not in found:
            outputs = values.get(name, {})
            found[name] = NodeRun(name, row_count(outputs), outputs, seconds)
    outputs = {
        spec.name: values[source.node][source.tensor] for spec, source in zip(graph.outputs, graph.sources, strict=True)
    }
    return Rerun(outputs, tuple(found.values()))


def _without_policies(nodes: Iterable[LayoutNode]) -> tuple[LayoutNode, ...]:
    return tuple(
        replace(
            node,
            policy=NO_POLICY,
            branches={port: _without_policies(inner) for port, inner in node.branches.items() if port != FALLBACK},
        )
        for node in nodes
    )
