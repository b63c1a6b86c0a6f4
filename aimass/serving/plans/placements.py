"""Where each node of a graph runs: which assignments can be, and which nodes become one ONNX model together. Pure.

A merged group is connected and answers as one node: nothing lies between two of its nodes (contracting it leaves no
cycle), all of it belongs to one lazy region, or brings the node that chooses along with all that it chooses between.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from aimass.graph.checks.merging import why_alone
from aimass.graph.graph import Graph, Node
from aimass.graph.missing import lost_with, optional
from aimass.graph.regions import Region, needs, regions

MERGED, FUSED, FANOUT, MIXED = "merged", "fused", "fanout", "mixed"
PLANS = (MERGED, FUSED, FANOUT)
"""Of plans that cost the same, the first is taken."""

Placements = Mapping[str, str]
"""Node → merged, fused or fanout; every node of the graph."""

Group = tuple[str, ...]
"""Nodes that are one ONNX model, in the graph's order."""


def uniform(graph: Graph, plan: str) -> dict[str, str]:
    """All nodes by one plan; only what calls a version can be a deployment of its own."""
    return {node.name: plan if node.ref or plan != FANOUT else FUSED for node in graph.nodes}


def with_asked(graph: Graph, placements: Placements) -> dict[str, str]:
    """The same, but where the document itself says how a node is placed."""
    return {node.name: node.placement or placements[node.name] for node in graph.nodes}


def plan_name(graph: Graph, placements: Placements) -> str:
    """``mixed`` unless all nodes are placed alike."""
    if is_whole(graph, placements):
        return MERGED
    for plan in (FUSED, FANOUT):
        if placements == uniform(graph, plan):
            return plan
    return MIXED


def is_whole(graph: Graph, placements: Placements) -> bool:
    """Everything is merged; it need not even be connected."""
    return all(placements[node.name] == MERGED for node in graph.nodes)


def why_not(graph: Graph, placements: Placements) -> str:
    """Why the assignment cannot be, or nothing."""
    facts = _Facts.of(graph)
    merged = {name for name, placement in placements.items() if placement == MERGED}
    for node in graph.nodes:
        asked = node.placement
        if asked and asked != placements[node.name]:
            return f"node {node.name!r} is placed as {asked} by the service"
        if placements[node.name] == FANOUT and not node.ref:
            return f"node {node.name!r} calls no version; only such nodes are deployments of their own"
        if node.name in merged:
            reason = why_alone(node) or facts.why_apart(node, merged)
            if reason:
                return reason
    if not is_whole(graph, placements):
        for group in groups(graph, placements):
            asked_alone = len(group) == 1 and facts.nodes[group[0]].placement == MERGED
            if asked_alone:
                return (
                    f"node {group[0]!r} is placed as merged by the service, and nothing that it reads or feeds is "
                    "merged with it"
                )
    return ""


def as_can_be(graph: Graph, placements: Placements) -> dict[str, str]:
    """The same, but what cannot be merged, or has nothing to be merged with, is fused, where the document does not ask
    for anything else."""
    facts = _Facts.of(graph)
    found = with_asked(graph, placements)

    def alone() -> set[str]:
        merged = {name for name, placement in found.items() if placement == MERGED}
        if len(merged) == len(found) and not any(why_alone(node) for node in graph.nodes):
            return set()
        return {
            name for name in merged if why_alone(facts.nodes[name]) or facts.why_apart(facts.nodes[name], merged)
        } or {group[0] for group in groups(graph, found) if len(group) == 1}

    while left := {name for name in alone() if not facts.nodes[name].placement}:
        found |= dict.fromkeys(left, FUSED)
    return found


def groups(graph: Graph, placements: Placements) -> list[Group]:
    """The merged nodes in groups as large as can be, in an order that depends on the graph alone. A group of one is
    a node like any other: there is nothing to merge it with."""
    facts = _Facts.of(graph)
    merged = [node.name for node in graph.nodes if placements[node.name] == MERGED]
    home = {node.name: node.name for node in graph.nodes}  # node → the first of its group

    def unite(one: str, other: str) -> None:
        first, second = sorted((home[one], home[other]), key=facts.index.__getitem__)
        for name, at in home.items():
            if at == second:
                home[name] = first

    for name in merged:
        for chosen in facts.chosen_by(name):
            unite(name, chosen)
    edges = [(taken, name) for name in merged for taken in facts.reads[name] if taken in set(merged)]
    for taken, name in edges:
        if home[taken] == home[name] or facts.around(taken, home) != facts.around(name, home):
            continue
        before = dict(home)
        unite(taken, name)
        if facts.has_cycle(home):
            home = before
    members: dict[str, list[str]] = {}
    for name in merged:
        members.setdefault(home[name], []).append(name)
    return [tuple(names) for names in members.values()]


@dataclass(frozen=True)
class _Facts:
    """What must be known of a graph to group its nodes."""

    nodes: Mapping[str, Node]
    reads: Mapping[str, tuple[str, ...]]  # what must run, or may have to, before a node
    regions: Mapping[str, Region]
    uncertain: frozenset[str]  # may give nothing, and others go on without it
    stand_ins: Mapping[str, str]  # stand-in → whom it stands in for
    index: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph) -> "_Facts":
        lost = [lost_with(graph.nodes, name) for name in optional(graph)]
        return cls(
            nodes={node.name: node for node in graph.nodes},
            reads={node.name: tuple(dict.fromkeys(taken for _, taken in needs(node))) for node in graph.nodes},
            regions=regions(graph),
            uncertain=frozenset().union(*lost),
            stand_ins={node.policy.fallback: node.name for node in graph.nodes if node.policy.fallback},
            index={node.name: index for index, node in enumerate(graph.nodes)},
        )

    def why_apart(self, node: Node, merged: set[str]) -> str:
        """Why it cannot be merged while others are not, or nothing."""
        if node.name in self.stand_ins:
            return f"node {node.name!r} stands in for {self.stand_ins[node.name]!r} and must run by itself"
        for name in self.chosen_by(node.name):
            if name not in merged:
                return f"node {node.name!r} chooses whether {name!r} runs: both are merged, or neither"
        for name in self.reads[node.name]:
            if name in self.uncertain and name not in merged:
                return f"node {node.name!r} reads {name!r}, which may be lost, and must find out by itself"
        return ""

    def chosen_by(self, name: str) -> Iterator[str]:
        """Nodes that run only for rows that this one sends to them, directly or by another choice in between."""
        for other in self.nodes:
            if any(region[0] == name for region in self._way(other)):
                yield other

    def around(self, name: str, home: Mapping[str, str]) -> Region:
        """The innermost region around the node's group whose chooser is not in that group."""
        return next((region for region in self._way(name) if home[region[0]] != home[name]), None)

    def has_cycle(self, home: Mapping[str, str]) -> bool:
        """With each group taken as one node."""
        takes: dict[str, set[str]] = {group: set() for group in home.values()}
        for name, taken in self.reads.items():
            takes[home[name]] |= {home[other] for other in taken if home[other] != home[name]}
        while takes:
            free = {name for name, others in takes.items() if not others}
            if not free:
                return True
            takes = {name: others - free for name, others in takes.items() if name not in free}
        return False

    def _way(self, name: str) -> "Iterable[tuple[str, str]]":
        """The regions around a node, the innermost first."""
        region = self.regions[name]
        while region is not None:
            yield region
            region = self.regions[region[0]]
