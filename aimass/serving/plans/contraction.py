"""A group of nodes as one node: its own graph, to be compiled to one ONNX model, and the graph that has it instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aimass.core.ids import Digest
from aimass.core.signature import Signature, TensorSpec
from aimass.graph import order
from aimass.graph.graph import INPUT, Graph, Node, Source
from aimass.graph.regions import needs
from aimass.serving.plans.placements import Group

NAMED = 3  # a larger group is called by its first node and how many more there are


@dataclass(frozen=True)
class Contraction:
    """``graph`` is the group by itself: its inputs are what it reads from around, its outputs what is read of it, both
    named as NODE.TENSOR."""

    name: str
    graph: Graph
    reads: tuple[Source, ...]  # by the graph's inputs


def group_name(group: Group) -> str:
    """No node is called like that: names hold no plus."""
    return "+".join(group) if len(group) <= NAMED else f"{group[0]}+{len(group) - 1}"


def contraction(graph: Graph, group: Group) -> Contraction:
    """The group cut out of its graph."""
    members = {node.name: node for node in graph.nodes if node.name in group}
    specs = tensor_specs(graph)
    reads = tuple(
        dict.fromkeys(source for node in members.values() for _, source in node.inputs if source.node not in members)
    )
    taken = [source for node in graph.nodes if node.name not in members for _, source in node.inputs]
    gives = tuple(dict.fromkeys(source for source in (*taken, *graph.sources) if source.node in members))
    inside = {source: Source(INPUT, str(source)) for source in reads}
    return Contraction(
        group_name(group),
        Graph(
            inputs=tuple(replace(specs[source], name=str(source)) for source in reads),
            nodes=tuple(
                replace(node, inputs=tuple((port, inside.get(source, source)) for port, source in node.inputs))
                for node in members.values()
            ),
            outputs=tuple(replace(specs[source], name=str(source)) for source in gives),
            sources=gives,
            profiles=graph.profiles,
        ),
        reads,
    )


def contracted(graph: Graph, made: Mapping[Group, Node]) -> Graph:
    """The graph with each group replaced by its node, whose ports and outputs are named as NODE.TENSOR."""
    group_of = {name: node.name for group, node in made.items() for name in group}

    def moved(source: Source) -> Source:
        return Source(group_of[source.node], str(source)) if source.node in group_of else source

    nodes: list[Node] = []
    for node in graph.nodes:
        if node.name not in group_of:
            nodes.append(replace(node, inputs=tuple((port, moved(source)) for port, source in node.inputs)))
    for node in made.values():
        nodes.append(replace(node, inputs=tuple((port, moved(source)) for port, source in node.inputs)))
    return replace(graph, nodes=_in_order(nodes), sources=tuple(moved(source) for source in graph.sources))


def node_of(cut: Contraction, graph: Graph, group: Group, files: Mapping[str, Digest]) -> Node:
    """The node that stands for the group."""
    members = [node for node in graph.nodes if node.name in group]
    return Node(
        name=cut.name,
        kind="model",
        inputs=tuple((str(source), source) for source in cut.reads),
        signature=Signature(cut.graph.inputs, cut.graph.outputs),
        ref="+".join(node.ref for node in members if node.ref) or cut.name,
        runtime="onnx",
        files=files,
        essential=any(node.essential for node in members),
    )


def tensor_specs(graph: Graph) -> dict[Source, TensorSpec]:
    """Of every tensor that there is."""
    specs = {Source(INPUT, spec.name): spec for spec in graph.inputs}
    return specs | {Source(node.name, spec.name): spec for node in graph.nodes for spec in node.signature.outputs}


def _in_order(nodes: Sequence[Node]) -> tuple[Node, ...]:
    known = {node.name: node for node in nodes}
    return tuple(known[name] for name in order.sort({node.name: {taken for _, taken in needs(node)} for node in nodes}))
