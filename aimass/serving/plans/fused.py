"""The fused plan: the graph's nodes one after another in the gateway replica's process."""

from dataclasses import replace

from aimass.graph.graph import Graph
from aimass.serving.layout import Layout, LayoutNode


def compile_fused(graph: Graph) -> Layout:
    """Every node as it is, asked only for the outputs that somebody takes."""
    needed = graph.needed()
    nodes = []
    for node in graph.nodes:
        taken = tuple(spec for spec in node.signature.outputs if spec.name in needed[node.name])
        nodes.append(
            LayoutNode(
                name=node.name,
                inputs=node.inputs,
                signature=replace(node.signature, outputs=taken),
                runtime=node.runtime,
                files=node.files,
                combine=node.combine,
                weights=node.weights,
                classes=node.classes,
            )
        )
    return Layout("fused", tuple(nodes), graph.inputs, graph.outputs, graph.sources)
