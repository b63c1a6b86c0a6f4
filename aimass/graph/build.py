"""From a service document to a graph that may be served: expanded, checked as a whole, in the order it runs."""

from collections.abc import Iterable
from dataclasses import replace

from aimass.core.documents import Document
from aimass.graph import missing, order
from aimass.graph.checks import treatment
from aimass.graph.checks.private import check_private
from aimass.graph.expansion import CheckCombiner, CheckScaling, Expansion, Lookup, Scope
from aimass.graph.graph import INPUT, Graph, Node, Source
from aimass.graph.places import Place
from aimass.graph.spec import ServiceSpec


def build_graph(
    spec: ServiceSpec,
    lookup: Lookup,
    document: Document | None = None,
    check_combiner: CheckCombiner | None = None,
    check_scaling: CheckScaling | None = None,
) -> Graph:
    """The service's graph; the first thing wrong is ``Invalid``, with its line when ``document`` is given."""
    inputs = {name: tensor.tensor(name) for name, tensor in spec.graph.inputs.items()}
    root = Place(document)
    asked = "" if spec.placement == "auto" else spec.placement
    scope = Scope("", root.at("graph"), asked, root.at("placement"), replicas=spec.replicas)
    expansion = Expansion(lookup, check_combiner, check_scaling)
    outputs = expansion.expand(
        spec.graph, {name: (Source(INPUT, name), tensor) for name, tensor in inputs.items()}, scope
    )
    check_all_used(spec, root.at("graph"))
    check_private(spec, root)
    if spec.replicas is not None and not expansion.fans_out:
        raise root.at("replicas").error("no node is placed as fanout, and no other has replicas of its own; remove it")
    sources = {name: source for name, (source, _) in outputs.items()}
    nodes = _in_order(expansion.nodes, sources.values())
    optional = [name for name, required in expansion.said_required.items() if not required]
    treatment.check_absorbed(nodes, sources, expansion.places, optional)
    spared = missing.spared(nodes, tuple(sources.values()))
    insisted = {name for name, required in expansion.said_required.items() if required} & spared
    return Graph(
        inputs=tuple(inputs.values()),
        nodes=tuple(replace(node, essential=True) if node.name in insisted else node for node in nodes),
        outputs=tuple(replace(tensor, name=name) for name, (_, tensor) in outputs.items()),
        sources=tuple(sources.values()),
        profiles={node.ref: expansion.profiles[node.ref] for node in nodes if node.ref in expansion.profiles},
    )


def _in_order(nodes: dict[str, Node], ends: Iterable[Source]) -> list[Node]:
    """The nodes that ``ends`` need, each after those that it reads or falls back to."""
    takes = {
        name: treatment.takes((source for _, source in node.inputs), node.policy.fallback)
        for name, node in nodes.items()
    }
    used = order.reach(takes, {source.node for source in ends})
    return [nodes[name] for name in order.sort({name: takes[name] for name in used})]


def check_all_used(spec: ServiceSpec, place: Place) -> None:
    """Every input and node of the document takes part in an answer; what does not was meant otherwise."""
    graph = spec.graph
    read = {name: {edge.source for edge in node.edges().values()} for name, node in graph.nodes.items()}
    takes = {name: {text.partition(".")[0] for text in texts} for name, texts in read.items()}
    for name, node in graph.nodes.items():
        takes[name] |= {node.fallback} if node.fallback else set()
    ends = {text.partition(".")[0] for text in graph.outputs.values()}
    used = order.reach({**takes, INPUT: set()}, ends)
    for name in graph.nodes:
        if name not in used:
            raise place.at("nodes", name).error("no output needs this node; use it or remove it")
    for name in graph.inputs:
        if all(f"{INPUT}.{name}" not in texts for texts in read.values()):
            raise place.at("inputs", name).error("no node reads this input; use it or remove it")
