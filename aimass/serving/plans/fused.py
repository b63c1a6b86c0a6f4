"""The fused plan: the graph's nodes in the gateway replica's process, lazy ones only for the rows that choose them."""

from aimass.graph.graph import Graph
from aimass.serving.layout import Layout
from aimass.serving.plans.steps import steps_of


def compile_fused(graph: Graph) -> Layout:
    """Every node as it is."""
    return Layout("fused", steps_of(graph), graph.inputs, graph.outputs, graph.sources)
