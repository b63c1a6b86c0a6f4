"""Nodes of a graph as steps of a layout: asked only for what somebody takes, the lazy ones inside those that choose."""

from collections.abc import Callable
from dataclasses import replace

from aimass.graph.graph import Graph, Node
from aimass.graph.missing import optional
from aimass.graph.regions import Region, regions
from aimass.serving.layout import Choice, LayoutNode

Change = Callable[[Node, LayoutNode], LayoutNode]


def steps_of(graph: Graph, change: Change | None = None) -> tuple[LayoutNode, ...]:
    """The graph's steps in the order they run. ``change`` is given each node with its step and answers the step that
    stands in its place, as for a node that runs elsewhere."""
    needed, lost, found = graph.needed(), optional(graph), regions(graph)
    inside: dict[Region, list[Node]] = {}
    for node in graph.nodes:
        inside.setdefault(found[node.name], []).append(node)

    def frame(region: Region) -> tuple[LayoutNode, ...]:
        return tuple(step(node) for node in inside.get(region, []))

    def step(node: Node) -> LayoutNode:
        taken = tuple(spec for spec in node.signature.outputs if spec.name in needed[node.name])
        ports = [region[1] for region in inside if region is not None and region[0] == node.name]
        made = LayoutNode(
            name=node.name,
            inputs=node.inputs,
            signature=replace(node.signature, outputs=taken),
            runtime=node.runtime,
            files=node.files,
            combine=node.combine,
            weights=node.weights,
            classes=node.classes,
            quorum=node.quorum,
            on_missing=node.on_missing,
            choice=_choice(node),
            branches={port: frame((node.name, port)) for port in sorted(ports)},
            policy=replace(node.policy, required=not node.ref or node.name not in lost),
        )
        return change(node, made) if change else made

    return frame(None)


def _choice(node: Node) -> Choice | None:
    if node.kind not in ("switch", "cascade"):
        return None
    return Choice(node.kind, node.cases, node.thresholds, node.temperatures)
