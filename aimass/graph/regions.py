"""Which nodes run lazily: only for the rows that choose a cascade's later member or a switch's branch, or when a node
fails that has a fallback. Works on what reads what; knows no tensors.

A **port** is a way of being needed lazily: (node, "2") of a cascade, (node, CASE) or (node, "else") of a switch, (node,
"fallback"). A node belongs to the innermost port through which every way to an output goes; most belong to none. Ports
of a cascade lie in each other: whoever asks its third member has asked the second.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from aimass.graph.document.nodes import FALLBACK
from aimass.graph.graph import INPUT, SELECT, Graph, Node

LazyPort = tuple[str, str]  # node, port
Region = LazyPort | None  # None: runs for every row


def regions(graph: Graph) -> dict[str, Region]:
    """Each node's region, by node name."""
    found: dict[str, Region] = {}
    around: dict[LazyPort, Region] = {}
    asked: dict[str, list[Region]] = {node.name: [] for node in graph.nodes}
    for source in graph.sources:
        asked[source.node].append(None)
    for node in reversed(graph.nodes):  # whoever needs a node comes after it
        region = found[node.name] = _common(asked[node.name], around)
        around |= _ports(node, region)
        for port, taken in needs(node):
            asked[taken].append(region if port is None else (node.name, port))
    return found


def needs(node: Node) -> Iterator[tuple[str | None, str]]:
    """(lazy port, or None where every row needs it; the node that is needed)."""
    for port, source in node.inputs:
        if source.node != INPUT:
            yield lazy_port(node, port), source.node
    if node.policy.fallback:
        yield FALLBACK, node.policy.fallback


def lazy_port(node: Node, port: str) -> str | None:
    """The key under which a layout holds what only this port needs; None where every row needs it."""
    if node.kind == "cascade" and port != "0":
        return port
    if node.kind == "switch" and port != SELECT:
        return port.rpartition(".")[0]
    return None


def _ports(node: Node, region: Region) -> dict[LazyPort, Region]:
    """The node's lazy ports, each with the region right around it."""
    lazy = [port for port in dict.fromkeys(lazy_port(node, port) for port, _ in node.inputs) if port is not None]
    found: dict[LazyPort, Region] = {(node.name, port): region for port in lazy}
    if node.kind == "cascade":
        found |= {(node.name, port): (node.name, before) for before, port in pairwise(lazy)}
    if node.policy.fallback:
        found[node.name, FALLBACK] = region
    return found


def _common(asked: Sequence[Region], around: Mapping[LazyPort, Region]) -> Region:
    """The innermost region that holds all of them."""
    common: Region = None
    for steps in zip(*(_way(region, around) for region in asked), strict=False):
        if any(step != steps[0] for step in steps):
            break
        common = steps[0]
    return common


def _way(region: Region, around: Mapping[LazyPort, Region]) -> list[LazyPort]:
    """From the whole graph down to ``region``, which comes last."""
    way: list[LazyPort] = []
    while region is not None:
        way.append(region)
        region = around[region]
    return way[::-1]
