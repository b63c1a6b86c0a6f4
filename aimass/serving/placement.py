"""From a graph to the layout it gets: the alternatives explained, the chosen one compiled."""

from dataclasses import dataclass, replace

from aimass.core.errors import Invalid
from aimass.graph.graph import Graph
from aimass.graph.spec import LimitsSpec, SloSpec
from aimass.serving.combining import make_combiner
from aimass.serving.layout import Layout, Read, Store
from aimass.serving.planner import Explanation, explain
from aimass.serving.plans import fanout, fused, merged


@dataclass(frozen=True)
class Placed:
    """``layout`` is None only where the placement asked for is not possible."""

    explanation: Explanation
    layout: Layout | None


def place(graph: Graph, placement: str, limits: LimitsSpec, slo: SloSpec, read: Read, store: Store) -> Placed:
    """Explain every plan and compile the chosen one. Merging is really tried, so what is explained holds.

    ``store`` is called for a merged model that was chosen, else never; one that keeps nothing will do to explain only.
    A missing or corrupted artifact is what ``read`` raises, and refused under any plan.
    """
    for node in graph.nodes:
        if node.kind == "combine":
            make_combiner(node.combine, node.weights, f"graph.nodes.{node.name}.combine")
    models = {digest: read(digest) for node in graph.nodes for digest in node.files.values()}
    model, unmergeable = b"", ""
    try:
        model = merged.compile_merged(graph, models.__getitem__)
    except Invalid as error:
        unmergeable = str(error).removeprefix("cannot be merged: ")
    explanation = explain(graph, limits, slo, placement, unmergeable)
    if placement == "fanout":
        asked = replace(explanation, chosen="fanout", why="the service asks for it")
        return Placed(asked, fanout.compile_fanout(graph))
    if explanation.chosen == "merged":
        return Placed(explanation, merged.merged_layout(graph, store(model)))
    return Placed(explanation, fused.compile_fused(graph) if explanation.chosen else None)
