"""Nodes as the document writes them become nodes of the graph: looked up, checked, ensembles and stackings expanded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from aimass.core.errors import AimassError
from aimass.core.policies import ONE_REPLICA, NodeScale
from aimass.core.signature import TensorSpec
from aimass.graph import choosing, order
from aimass.graph.checks import edges, treatment
from aimass.graph.document.nodes import STACKING, MemberSpec, NodeSpec, SubGraphSpec
from aimass.graph.document.policies import ReplicasSpec, scale_of
from aimass.graph.graph import FEATURES, INPUT, CostProfile, ModelInfo, Node, Source
from aimass.graph.places import Place
from aimass.graph.spec import load_subgraph

Lookup = Callable[[str, str], ModelInfo]
"""(MODEL@VERSION or MODEL@ALIAS, field) → what is registered; raises one of our errors when there is none."""

CheckCombiner = Callable[[str, tuple[float, ...] | None], object]
"""(combiner, weights) → anything; raises one of our errors when there is no such combiner, or not with these."""

CheckScaling = Callable[[NodeScale], object]
"""The size of a fan-out node → anything; raises one of our errors when its policy is unknown or refuses it."""

Tensor = tuple[Source, TensorSpec]
Given = Mapping[str, Tensor]  # by port or by output


@dataclass(frozen=True)
class Scope:
    """Where expansion stands: the prefix of node names, the place for errors, the ensembles around it, and what is
    asked for every node here that says nothing itself."""

    prefix: str
    place: Place
    asked: str  # merged, fused, fanout; empty: the planner chooses
    asked_at: Place
    around: tuple[str, ...] = ()
    placement: str = ""  # what was asked by an ensemble's node and not by the service
    replicas: ReplicasSpec | None = None
    cpus: float | None = None
    gpus: float | None = None

    def of(self, name: str, spec: NodeSpec) -> "Scope":
        """At the node ``name``, with what it says itself."""
        place = self.place.at("nodes", name)
        said = {key: getattr(spec, key) for key in ("placement", "replicas", "cpus", "gpus")}
        said = {key: value for key, value in said.items() if value is not None}
        if spec.placement is not None:
            said |= {"asked": spec.placement, "asked_at": place.at("placement")}
        return replace(self, place=place, **said)

    @property
    def scale(self) -> NodeScale | None:
        """Of a fan-out node; None where it is the usual one, or the node is none."""
        scale = scale_of(self.replicas, self.cpus, self.gpus) if self.asked == "fanout" else None
        return None if scale == ONE_REPLICA else scale


@dataclass
class Expansion:
    """Collects the nodes of a graph, each after those that it reads."""

    lookup: Lookup
    check_combiner: CheckCombiner | None = None
    check_scaling: CheckScaling | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    said_required: dict[str, bool] = field(default_factory=dict)  # what the document says, where it says it
    fans_out: bool = False
    profiles: dict[str, CostProfile] = field(default_factory=dict)
    found: dict[str, ModelInfo] = field(default_factory=dict)

    def expand(self, graph: SubGraphSpec, fed: Given, scope: Scope) -> dict[str, Tensor]:
        """Add the graph's nodes; returns its outputs."""
        place = scope.place
        split = edges.split_all(graph.nodes, fed, place)
        takes = {name: treatment.takes(sources.values(), graph.nodes[name].fallback) for name, sources in split.items()}
        edges.check_no_cycle(graph.nodes, takes, split, place)
        known: dict[str, Given] = {INPUT: fed}
        for name in order.sort(takes):
            node, inner = graph.nodes[name], scope.of(name, graph.nodes[name])
            at = {port: inner.place.at(*edge.location) for port, edge in node.edges().items()}
            given = {port: _tensor(known, source, at[port]) for port, source in split[name].items()}
            known[name] = self._add(scope.prefix + name, node, given, inner)
            if node.fallback is not None:
                self._stand_in(scope.prefix + name, node.fallback, known, inner.place.at("fallback"))
        outputs: dict[str, Tensor] = {}
        for name, text in graph.outputs.items():
            at_output = place.at("outputs", name)
            taken = edges.split_source(text, graph.nodes, fed, at_output)
            if taken.node == INPUT:
                raise at_output.error(f"{text!r} is an input; an output comes from a node")
            outputs[name] = _tensor(known, taken, at_output)
        return outputs

    def _add(self, name: str, spec: NodeSpec, given: Given, scope: Scope) -> Given:
        place = scope.place
        if spec.ref:
            return self._call(name, spec, given, scope)
        if spec.kind == "combine":
            node = choosing.combine_node(name, spec, given, place)
            self._check_combiner(node, place)
        elif spec.kind == "cascade":
            node = choosing.cascade_node(name, spec, given, place)
        else:
            node = choosing.switch_node(name, spec, given, place)
        placement = scope.placement if scope.placement != "fanout" else ""
        return self._keep(replace(node, placement=placement), spec, scope)

    def _call(self, name: str, spec: NodeSpec, given: Given, scope: Scope) -> Given:
        """A registered version; the members of a stacking stand before its model, side by side."""
        place = scope.place.at("transform" if spec.transform else "model")
        info = self._find(spec.ref, place)
        if spec.kind == STACKING:
            given = self._stack(name, spec, given, info, scope)
        else:
            edges.check_kind(info, spec, place)
        tensors = {port: tensor for port, (_, tensor) in given.items()}
        edges.check_ports(info.signature, tensors, info.ref, scope.place.at("inputs"))
        if info.graph is not None:
            return self._expand_ensemble(name, spec, info, given, scope)
        if spec.members is not None:
            raise scope.place.at("members").error(f"{info.ref} is one {info.kind}, not an ensemble; it has no members")
        if info.profile is not None:
            self.profiles[info.ref] = info.profile
        inputs = tuple((port, source) for port, (source, _) in given.items())
        node = Node(name, info.kind, inputs, info.signature, info.ref, info.runtime, dict(info.files))
        node = replace(node, policy=spec.policy(), placement=scope.placement, scale=scope.scale)
        if "required" in spec.model_fields_set:
            self.said_required[name] = spec.required
        if scope.asked == "fanout":
            self.fans_out = True
            self._check_scaling(scope)
        return self._keep(node, spec, scope)

    def _stack(self, name: str, spec: NodeSpec, given: Given, info: ModelInfo, scope: Scope) -> Given:
        """The members as one tensor, under the name of the model's one input."""
        if info.kind == "transform" or len(info.signature.inputs) != 1:
            raise scope.place.at("model").error(f"{info.ref} is no model with one input, which stacking needs")
        node = choosing.stack_node(f"{name}.members", spec, given, scope.place)
        self._check_combiner(node, scope.place)
        features = self._keep(node, NodeSpec(combine=node.combine, inputs=spec.inputs), scope)[FEATURES]
        (wanted,) = info.signature.inputs
        problem = wanted.accepts(features[1])
        if problem:
            raise scope.place.at("model").error(f"{info.ref} is given the members side by side: {problem}")
        return {wanted.name: features}

    def _expand_ensemble(self, name: str, spec: NodeSpec, info: ModelInfo, given: Given, scope: Scope) -> Given:
        treatment.check_no_policy(spec, info.ref, scope.place)
        treatment.check_scale(spec, scope.asked, scope.place)
        place = scope.place.at("model").within(info.ref)
        if info.ref in scope.around:
            raise place.error(f"{info.ref} contains itself: {' → '.join((*scope.around, info.ref))}")
        assert info.graph is not None
        graph = with_members(load_subgraph(info.graph, info.ref), spec.members or {}, scope.place.at("members"))
        inner = replace(scope, prefix=f"{name}.", place=place, around=(*scope.around, info.ref))
        outputs = self.expand(graph, given, inner)
        for item in info.signature.outputs:
            problem = item.accepts(outputs[item.name][1]) if item.name in outputs else "nothing"
            if problem:
                raise place.error(f"its output {item.name!r} has {problem}; register it again")
        members = {
            f"{full.removeprefix(inner.prefix)}.{item.name}": (Source(full, item.name), item)
            for full, node in self.nodes.items()
            for item in node.signature.outputs
            if full.startswith(inner.prefix)
        }
        return {**members, **outputs}

    def _stand_in(self, name: str, fallback: str, known: Mapping[str, Given], place: Place) -> None:
        node = self.nodes[name]
        full = treatment.check_fallback(node.signature.outputs, known[fallback], fallback, place)
        self.nodes[name] = replace(node, policy=replace(node.policy, fallback=full))

    def _find(self, ref: str, place: Place) -> ModelInfo:
        if ref not in self.found:
            try:
                self.found[ref] = self.lookup(ref, place.field)
            except AimassError as error:
                raise place.error(str(error)) from error
        return self.found[ref]

    def _check_combiner(self, node: Node, place: Place) -> None:
        if self.check_combiner is not None:
            try:
                self.check_combiner(node.combine, node.weights)
            except AimassError as error:
                raise place.at("combine").error(str(error)) from error

    def _check_scaling(self, scope: Scope) -> None:
        if self.check_scaling is not None and scope.scale is not None:
            try:
                self.check_scaling(scope.scale)
            except AimassError as error:
                raise scope.place.at("replicas").error(str(error)) from error

    def _keep(self, node: Node, spec: NodeSpec, scope: Scope) -> Given:
        if node.name in self.nodes:
            raise scope.place.error(f"there are two nodes {node.name!r} once its model is written out; rename this one")
        treatment.check_placement(node, spec, scope.asked, scope.place, scope.asked_at)
        self.nodes[node.name] = node
        self.places[node.name] = scope.place
        return {item.name: (Source(node.name, item.name), item) for item in node.signature.outputs}


def with_members(graph: SubGraphSpec, said: Mapping[str, MemberSpec], place: Place) -> SubGraphSpec:
    """The ensemble's graph with what the service says of its nodes."""
    nodes = dict(graph.nodes)
    for name, member in said.items():
        if name not in nodes:
            raise place.at(name).error(f"the ensemble has no node {name!r}; its nodes: {', '.join(sorted(nodes))}")
        own = nodes[name].model_dump(by_alias=True, exclude_unset=True)
        try:
            nodes[name] = NodeSpec.model_validate({**own, **member.model_dump(by_alias=True, exclude_unset=True)})
        except ValidationError as error:
            first = error.errors()[0]
            problem = first["msg"].removeprefix("Value error, ")
            raise place.at(name, *first["loc"]).error(problem) from None
    return graph.model_copy(update={"nodes": nodes})


def _tensor(known: Mapping[str, Given], source: Source, place: Place) -> Tensor:
    given = known[source.node]
    if source.tensor not in given:
        raise place.error(f"node {source.node!r} has no output {source.tensor!r}; it has: {', '.join(sorted(given))}")
    return given[source.tensor]
