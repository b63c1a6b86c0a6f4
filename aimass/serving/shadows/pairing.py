"""A node and its shadow, a version that might take its place: what both read, both, and what both give."""

from dataclasses import replace

from aimass.core.errors import Invalid, NotFound
from aimass.core.policies import NO_POLICY
from aimass.core.signature import TensorSpec
from aimass.graph import order
from aimass.graph.document.nodes import NodeSpec, SubGraphSpec
from aimass.graph.expansion import CheckCombiner, Expansion, Given, Lookup, Scope
from aimass.graph.graph import INPUT, Graph, ModelInfo, Node, Source
from aimass.graph.places import Place

MARK = "~"  # which no name of a document holds; the shadow's nodes begin with it
PRIMARY, SHADOW = "primary", "shadow"
"""Who is meant: the node, or its shadow. An output's name begins with one of them and a dot."""


def beside(graph: Graph, name: str, ref: str, lookup: Lookup, check_combiner: CheckCombiner | None = None) -> Graph:
    """The node ``name`` of the graph with all that feeds it, and version ``ref`` fed by the same. Every node runs for
    every row, in this process, and by no policy.

    ``NotFound`` where there is no such node, ``Invalid`` where it calls no version, calls this one already, or the
    version's signature is another.
    """
    node = find_node(graph, name)
    info = lookup(ref, "model")
    if info.ref == node.ref:
        raise Invalid(f"node {node.name!r} runs {info.ref} already; name another version", field="model")
    outputs = check_signature(node, info)
    nodes = {item.name: item for item in graph.nodes}
    takes = {item.name: {source.node for _, source in item.inputs} for item in graph.nodes}
    used = order.reach({**takes, INPUT: set()}, {node.name})
    kept = tuple(_plain(item) for item in graph.nodes if item.name in used)
    given: Given = {port: (source, _spec(graph, nodes, source)) for port, source in node.inputs}
    expansion = Expansion(lookup, check_combiner)
    inputs = {port: f"{INPUT}.{port}" for port in given}
    wanted = {spec.name: f"{SHADOW}.{spec.name}" for spec in outputs}
    key = "transform" if info.kind == "transform" else "model"
    asked = SubGraphSpec(nodes={SHADOW: NodeSpec.model_validate({key: info.ref, "inputs": inputs})}, outputs=wanted)
    root = Place(None)
    found = expansion.expand(asked, given, Scope(MARK, root, "", root))
    added = tuple(_plain(item) for item in expansion.nodes.values())
    return Graph(
        inputs=graph.inputs,
        nodes=(*kept, *added),
        outputs=(
            *(replace(spec, name=f"{PRIMARY}.{spec.name}") for spec in outputs),
            *(replace(found[spec.name][1], name=f"{SHADOW}.{spec.name}") for spec in outputs),
        ),
        sources=(
            *(Source(node.name, spec.name) for spec in outputs),
            *(found[spec.name][0] for spec in outputs),
        ),
        profiles={**graph.profiles, **expansion.profiles},
    )


def find_node(graph: Graph, name: str) -> Node:
    """The node of this name, or the one of that name inside an ensemble."""
    callers = [node for node in graph.nodes if node.ref]
    exact = [node for node in graph.nodes if node.name == name]
    found = exact or [node for node in callers if node.name.endswith(f".{name}")]
    there = ", ".join(node.name for node in callers)
    if not found:
        raise NotFound(f"there is no node {name!r}; models and transforms are: {there}", field="node")
    if len(found) > 1:
        raise Invalid(f"there are {len(found)} nodes {name!r}; name one of: {there}", field="node")
    if not found[0].ref:
        raise Invalid(f"node {name!r} is a {found[0].kind} and calls no version; choose one of: {there}", field="node")
    return found[0]


def check_signature(node: Node, info: ModelInfo) -> tuple[TensorSpec, ...]:
    """The outputs that both give; ``Invalid`` unless the version takes what the node is fed and gives all that the node
    gives."""
    what = f"{info.ref} cannot stand beside node {node.name!r} ({node.ref}):"
    taken = {spec.name: spec for spec in info.signature.inputs}
    if taken.keys() != {port for port, _ in node.inputs}:
        asked, fed = ", ".join(taken), ", ".join(port for port, _ in node.inputs)
        raise Invalid(f"{what} it takes {asked}, the node is fed {fed}", field="model")
    for ours in node.signature.inputs:
        problem = taken[ours.name].accepts(ours)
        if problem:
            raise Invalid(f"{what} its input {ours.name!r} is fed {problem}", field="model")
    given = {spec.name: spec for spec in info.signature.outputs}
    for ours in node.signature.outputs:
        other = given.get(ours.name)
        problem = "nothing" if other is None else ours.accepts(other)
        if problem:
            raise Invalid(f"{what} its output {ours.name!r} has {problem}", field="model")
    return node.signature.outputs


def _spec(graph: Graph, nodes: dict[str, Node], source: Source) -> TensorSpec:
    specs = graph.inputs if source.node == INPUT else nodes[source.node].signature.outputs
    return next(spec for spec in specs if spec.name == source.tensor)


def _plain(node: Node) -> Node:
    return replace(node, policy=NO_POLICY, essential=False, placement="", scale=None)
