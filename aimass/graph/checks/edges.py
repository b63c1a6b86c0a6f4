"""Edges: what a source's text names, and whether its tensor fits the port that it feeds."""

from collections.abc import Collection, Iterable, Mapping

from aimass.core.signature import Signature, TensorSpec
from aimass.graph import order
from aimass.graph.document.nodes import NodeSpec
from aimass.graph.graph import INPUT, ModelInfo, Source
from aimass.graph.places import Place


def split_all(nodes: Mapping[str, NodeSpec], inputs: Iterable[str], place: Place) -> dict[str, dict[str, Source]]:
    """Every node's ports with what feeds them."""
    found = {}
    for name, node in nodes.items():
        at = place.at("nodes", name)
        found[name] = {
            port: split_source(edge.source, nodes, inputs, at.at(*edge.location)) for port, edge in node.edges().items()
        }
        if node.fallback is not None and node.fallback not in nodes:
            raise at.at("fallback").error(f"there is no node {node.fallback!r}; nodes: {_names(nodes)}")
    return found


def split_source(text: str, nodes: Mapping[str, object], inputs: Iterable[str], place: Place) -> Source:
    """``forest.probabilities`` → (forest, probabilities); whether the node has such an output shows later."""
    node, dot, tensor = text.partition(".")
    if not dot or not tensor:
        raise place.error(f"{text!r} must read NODE.OUTPUT or {INPUT}.INPUT")
    if node == INPUT:
        if tensor not in inputs:
            raise place.error(f"there is no input {tensor!r}; inputs: {_names(inputs)}")
    elif node not in nodes:
        raise place.error(f"there is no node {node!r}; nodes: {_names(nodes)}")
    return Source(node, tensor)


def check_no_cycle(
    nodes: Mapping[str, NodeSpec],
    takes: Mapping[str, Collection[str]],
    sources: Mapping[str, Mapping[str, Source]],
    place: Place,
) -> None:
    """``takes``: node → those that must stand before it, its fallback among them."""
    cycle = order.find_cycle(takes)
    if not cycle:
        return
    name, before = cycle[:2]
    at = place.at("nodes", name)
    for port, source in sources[name].items():
        if source.node == before:
            raise at.at(*nodes[name].edges()[port].location).error(f"a cycle: {' ← '.join(cycle)}; cut it somewhere")
    raise at.at("fallback").error(f"a fallback that needs what it stands in for: {' ← '.join(cycle)}; choose another")


def check_kind(info: ModelInfo, spec: NodeSpec, place: Place) -> None:
    """A transform is named by ``transform``, a model or an ensemble by ``model``."""
    if (info.kind == "transform") != (spec.kind == "transform"):
        right = "transform" if info.kind == "transform" else "model"
        raise place.error(f"{info.ref} is a registered {info.kind}; write `{right}: {spec.ref}`")


def check_ports(signature: Signature, given: Mapping[str, TensorSpec], what: str, place: Place) -> None:
    """Every input of ``signature`` is fed once, by a tensor that fits."""
    wanted = {spec.name: spec for spec in signature.inputs}
    for port, tensor in given.items():
        if port not in wanted:
            raise place.at(port).error(f"{what} has no input {port!r}; it takes: {_names(wanted)}")
        problem = wanted[port].accepts(tensor)
        if problem:
            raise place.at(port).error(f"{what} input {port!r} is given {problem}")
        if tensor.allow_missing and not wanted[port].allow_missing:
            raise place.at(port).error(f"{what} input {port!r} does not take missing values, and is given some")
    missing = wanted.keys() - given.keys()
    if missing:
        raise place.error(f"{what} needs its input {min(missing)!r} too; it takes: {_names(wanted)}")


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
