"""From a graph to the layout it gets: the alternatives explained, the chosen one compiled."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from aimass.core.errors import Invalid
from aimass.core.ids import Digest
from aimass.graph.graph import Graph
from aimass.serving.combining import make_combiner
from aimass.serving.layout import Layout, Read, Store
from aimass.serving.planner.contenders import contenders
from aimass.serving.planner.demand import Demand
from aimass.serving.planner.explanation import Explanation, explain
from aimass.serving.plans.mixed import compile_placements


@dataclass(frozen=True)
class Placed:
    """``layout`` is None only where the placement asked for is not possible."""

    explanation: Explanation
    layout: Layout | None


def place(graph: Graph, demand: Demand, read: Read, store: Store) -> Placed:
    """Explain every plan and compile the chosen one. Merging is really tried, so what is explained holds.

    ``store`` is called for merged models that were chosen, else never; one that keeps nothing will do to explain only.
    A missing or corrupted artifact is what ``read`` raises, and refused under any plan.
    """
    for node in graph.nodes:
        if node.kind == "combine":
            make_combiner(node.combine, node.weights, f"graph.nodes.{node.name}.combine")
    models = {digest: read(digest) for node in graph.nodes for digest in node.files.values()}
    layouts: dict[str, Layout] = {}
    refused: dict[str, str] = {}
    kept: dict[Digest, bytes] = {}
    for item in contenders(graph, demand.placement):
        if item.reason:
            continue
        try:
            layouts[item.name] = compile_placements(graph, item.placements, models.__getitem__, _keeper(kept))
        except Invalid as error:
            refused[item.name] = str(error).removeprefix("cannot be merged: ")
    explanation = explain(graph, demand, refused)
    layout = layouts.get(explanation.chosen)
    for digest in layout.digests & kept.keys() if layout else ():
        store(kept[digest])
    return Placed(explanation, layout)


def _keeper(kept: dict[Digest, bytes]) -> Callable[[bytes], Digest]:
    def keep(data: bytes) -> Digest:
        digest = Digest(hashlib.sha256(data).hexdigest())
        kept[digest] = data
        return digest

    return keep
