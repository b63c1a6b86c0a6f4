"""What a graph can do without: which nodes lose their inputs with a lost node, and where a combiner goes on."""

from collections.abc import Sequence

from aimass.graph.graph import Graph, Node, Source


def lost_with(nodes: Sequence[Node], name: str, asked: bool = True) -> set[str]:
    """The nodes that give nothing once ``name`` gives nothing, itself included.

    A combiner goes on while its quorum is there, and a cascade with the members that it has left, if the document says
    of ``name`` that it is not required (``asked``); every other node needs all that it reads, or its stand-in. A
    stand-in is called, and can be lost, only where the one it stands in for is.
    """
    lost = {name}
    for node in nodes:
        gone = sum(1 for _, source in node.inputs if source.node in lost)
        stand_in = node.policy.fallback
        if stand_in in lost or (gone > _spare(node, asked) and not stand_in):
            lost.add(node.name)
    return lost


def spared(nodes: Sequence[Node], sources: Sequence[Source]) -> set[str]:
    """The nodes without which, by the combiners' quorums, every output can still be given; each lost alone."""
    ends = {source.node for source in sources}
    return {node.name for node in nodes if not lost_with(nodes, node.name, asked=False) & ends}


def optional(graph: Graph) -> set[str]:
    """The nodes whose failure need not be the call's: those that say so themselves, and those where every way to an
    output passes a combiner whose quorum goes on without them, unless the service insists on them."""
    said = {node.name for node in graph.nodes if not node.policy.required}
    insisted = {node.name for node in graph.nodes if node.essential}
    return said | (spared(graph.nodes, graph.sources) - insisted)


def _spare(node: Node, asked: bool) -> int:
    """Inputs that it can go on without."""
    if node.kind == "cascade" and asked:
        return len(node.inputs) - 1
    return 0 if node.quorum is None else len(node.inputs) - node.quorum
