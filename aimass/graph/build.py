"""From a service document to a graph: references resolved, ensembles expanded, every edge checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from aimass.core.documents import Document
from aimass.core.errors import AimassError
from aimass.core.signature import TensorSpec
from aimass.graph import check, order
from aimass.graph.graph import INPUT, CostProfile, Graph, ModelInfo, Node, Source
from aimass.graph.places import Place
from aimass.graph.spec import NodeSpec, ServiceSpec, SubGraphSpec, load_subgraph

Lookup = Callable[[str, str], ModelInfo]
"""(MODEL@VERSION or MODEL@ALIAS, field) → what is registered; raises one of our errors when there is none."""

CheckCombiner = Callable[[str, tuple[float, ...] | None], object]
"""(combiner, weights) → anything; raises one of our errors when there is no such combiner, or not with these."""

Tensor = tuple[Source, TensorSpec]


def build_graph(
    spec: ServiceSpec, lookup: Lookup, document: Document | None = None, check_combiner: CheckCombiner | None = None
) -> Graph:
    """The service's graph; the first thing wrong is ``Invalid``, with its line when ``document`` is given."""
    inputs = {name: tensor.tensor(name) for name, tensor in spec.graph.inputs.items()}
    place = Place(document).at("graph")
    builder = _Builder(lookup, check_combiner)
    fed = {name: (Source(INPUT, name), tensor) for name, tensor in inputs.items()}
    outputs = builder.expand(spec.graph, fed, _Scope("", place))
    _check_all_used(spec, place)
    taken = {node.name: {source.node for _, source in node.inputs} - {INPUT} for node in builder.nodes}
    used = order.reach(taken, {source.node for source, _ in outputs.values()})
    nodes = {node.name: node for node in builder.nodes if node.name in used}
    return Graph(
        inputs=tuple(inputs.values()),
        nodes=tuple(nodes[name] for name in order.sort({name: taken[name] for name in nodes})),
        outputs=tuple(replace(tensor, name=name) for name, (_, tensor) in outputs.items()),
        sources=tuple(source for source, _ in outputs.values()),
        profiles={node.ref: builder.profiles[node.ref] for node in nodes.values() if node.ref in builder.profiles},
    )


@dataclass(frozen=True)
class _Scope:
    """Where expansion stands: the prefix of node names, the place for errors, the ensembles around it."""

    prefix: str
    place: Place
    around: tuple[str, ...] = ()


@dataclass
class _Builder:
    lookup: Lookup
    check_combiner: CheckCombiner | None
    nodes: list[Node] = field(default_factory=list)
    profiles: dict[str, CostProfile] = field(default_factory=dict)
    found: dict[str, ModelInfo] = field(default_factory=dict)

    def expand(self, graph: SubGraphSpec, fed: Mapping[str, Tensor], scope: _Scope) -> dict[str, Tensor]:
        """Add the graph's nodes; returns its outputs."""
        place = scope.place
        edges = {
            name: {
                port: check.split_source(text, graph.nodes, fed, _port_place(place.at("nodes", name), node, port))
                for port, text in node.inputs.items()
            }
            for name, node in graph.nodes.items()
        }
        takes = {name: {node for node, _ in ports.values()} - {INPUT} for name, ports in edges.items()}
        cycle = order.find_cycle(takes)
        if cycle:
            raise place.at("nodes", cycle[0], "inputs").error(f"a cycle: {' ← '.join(cycle)}; cut it somewhere")
        known: dict[str, Mapping[str, Tensor]] = {INPUT: fed}
        for name in order.sort(takes):
            node, at = graph.nodes[name], place.at("nodes", name)
            given = {port: _tensor(known, source, _port_place(at, node, port)) for port, source in edges[name].items()}
            known[name] = self._add(name, node, given, replace(scope, place=at))
        outputs: dict[str, Tensor] = {}
        for name, text in graph.outputs.items():
            at = place.at("outputs", name)
            source = check.split_source(text, graph.nodes, fed, at)
            if source[0] == INPUT:
                raise at.error(f"{text!r} is an input; an output comes from a node")
            outputs[name] = _tensor(known, source, at)
        return outputs

    def _add(self, name: str, spec: NodeSpec, given: Mapping[str, Tensor], scope: _Scope) -> Mapping[str, Tensor]:
        full = scope.prefix + name
        ports = tuple((port, source) for port, (source, _) in given.items())
        tensors = {port: tensor for port, (_, tensor) in given.items()}
        if spec.combine is not None:
            node = self._combine(full, spec, scope.place, tensors)
            return self._keep(replace(node, inputs=ports))
        place = scope.place.at(spec.kind)
        info = self._find(spec.ref, place)
        check.check_kind(info, spec, place)
        check.check_ports(info.signature, tensors, info.ref, scope.place.at("inputs"))
        if info.graph is not None:
            return self._expand_ensemble(full, info, given, scope)
        if info.profile is not None:
            self.profiles[info.ref] = info.profile
        node = Node(full, spec.kind, ports, info.signature, info.ref, info.runtime, dict(info.files))
        return self._keep(node)

    def _combine(self, name: str, spec: NodeSpec, place: Place, members: Mapping[str, TensorSpec]) -> Node:
        signature = check.combine_signature(spec, members, place)
        if self.check_combiner is not None:
            try:
                self.check_combiner(spec.combine or "", spec.weights)
            except AimassError as error:
                raise place.at("combine").error(str(error)) from error
        return Node(
            name, "combine", (), signature, combine=spec.combine or "", weights=spec.weights, classes=spec.classes
        )

    def _expand_ensemble(
        self, name: str, info: ModelInfo, given: Mapping[str, Tensor], scope: _Scope
    ) -> Mapping[str, Tensor]:
        place = scope.place.within(info.ref)
        if info.ref in scope.around:
            raise place.error(f"{info.ref} contains itself: {' → '.join((*scope.around, info.ref))}")
        assert info.graph is not None
        graph = load_subgraph(info.graph, info.ref)
        outputs = self.expand(graph, given, _Scope(f"{name}.", place, (*scope.around, info.ref)))
        for spec in info.signature.outputs:
            problem = spec.accepts(outputs[spec.name][1]) if spec.name in outputs else "nothing"
            if problem:
                raise place.error(f"its output {spec.name!r} has {problem}; register it again")
        return outputs

    def _find(self, ref: str, place: Place) -> ModelInfo:
        if ref not in self.found:
            try:
                self.found[ref] = self.lookup(ref, place.field)
            except AimassError as error:
                raise place.error(str(error)) from error
        return self.found[ref]

    def _keep(self, node: Node) -> Mapping[str, Tensor]:
        self.nodes.append(node)
        return {spec.name: (Source(node.name, spec.name), spec) for spec in node.signature.outputs}


def _tensor(known: Mapping[str, Mapping[str, Tensor]], source: tuple[str, str], place: Place) -> Tensor:
    node, name = source
    if name not in known[node]:
        raise place.error(f"node {node!r} has no output {name!r}; it has: {', '.join(sorted(known[node]))}")
    return known[node][name]


def _port_place(place: Place, node: NodeSpec, port: str) -> Place:
    return place.at("inputs", int(port) if node.kind == "combine" else port)


def _check_all_used(spec: ServiceSpec, place: Place) -> None:
    """Every input and node of the document takes part in an answer; what does not was meant otherwise."""
    graph = spec.graph
    takes = {name: {text.partition(".")[0] for text in node.inputs.values()} for name, node in graph.nodes.items()}
    ends = {text.partition(".")[0] for text in graph.outputs.values()}
    used = order.reach({**takes, INPUT: set()}, ends)
    for name in graph.nodes:
        if name not in used:
            raise place.at("nodes", name).error("no output needs this node; use it or remove it")
    read = {text for node in graph.nodes.values() for text in node.inputs.values()}
    for name in graph.inputs:
        if f"{INPUT}.{name}" not in read:
            raise place.at("inputs", name).error("no node reads this input; use it or remove it")
