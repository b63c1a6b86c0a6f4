"""What a graph can do without: which nodes lose their inputs with a lost node, and where a combiner goes on."""

from collections.abc import Sequence

from aimass.graph.graph import Graph, Node, Source


def lost_with(nodes: Sequence[Node], name: str) -> set[str]:
    """The nodes that give nothing once ``name`` gives nothing, itself included. A combiner goes on while its quorum is
    there; every other node needs all that it reads, and a stand-in is lost only after the one it stands in for."""
    lost = {name}
    for node in nodes:
        gone = sum(1 for _, source in node.inputs if source.node in lost)
        if gone > _spare(node) or node.policy.fallback in lost:
            lost.add(node.name)
    return lost


def spared(nodes: Sequence[Node], sources: Sequence[Source]) -> set[str]:
    """The nodes without which every output can still be given, each lost alone."""
    ends = {source.node for source in sources}
    return {node.name for node in nodes if not lost_with(nodes, node.name) & ends}


def optional(graph: Graph) -> set[str]:
    """The nodes whose failure need not be the call's: every way from them to an output passes a combiner that goes on,
    and the service does not insist on them. (Those that say ``required: false`` are among them.)"""
    return {node.name for node in graph.nodes if not node.essential} & spared(graph.nodes, graph.sources)


def _spare(node: Node) -> int:
    """Inputs that it can go on without."""
    return 0 if node.quorum is None else len(node.inputs) - node.quorum
