"""Nodes that call nothing: combiners, cascades and switches, from their part of the document."""

from collections.abc import Mapping

from aimass.core.signature import TensorSpec
from aimass.graph.checks import choices
from aimass.graph.document.nodes import ELSE, NodeSpec
from aimass.graph.graph import SELECT, STACK, Node, Port, Source
from aimass.graph.places import Place

Given = Mapping[str, tuple[Source, TensorSpec]]


def combine_node(name: str, spec: NodeSpec, given: Given, place: Place) -> Node:
    """One that brings its members' probabilities together; a quorum is kept only where it lets somebody be missing."""
    members, places = _described(spec, given, place)
    signature = choices.combine_signature(spec, members, places, place)
    needed = spec.quorum or (1 if spec.on_missing == "renormalise" else len(members))
    goes_on = needed < len(members)
    return Node(
        name,
        "combine",
        _ports(given),
        signature,
        combine=spec.combine or "",
        weights=spec.weights,
        classes=spec.classes,
        quorum=needed if goes_on else None,
        on_missing="renormalise" if goes_on else "",
    )


def stack_node(name: str, spec: NodeSpec, given: Given, place: Place) -> Node:
    """The members' columns side by side, for the model of a stacking."""
    spec = NodeSpec(combine=STACK, inputs=spec.inputs)
    return combine_node(name, spec, given, place)


def cascade_node(name: str, spec: NodeSpec, given: Given, place: Place) -> Node:
    """One that asks its members one after the other."""
    members, places = _described(spec, given, place)
    temperatures = spec.temperatures or ()
    return Node(
        name,
        "cascade",
        _ports(given),
        choices.cascade_signature(spec, members, places, place),
        classes=spec.classes,
        thresholds=spec.thresholds or (spec.threshold or 0.0,) * (len(members) - 1),
        temperatures=() if all(each == 1 for each in temperatures) else temperatures,
    )


def switch_node(name: str, spec: NodeSpec, given: Given, place: Place) -> Node:
    """One that takes each row's outputs from the branch that its selector names."""
    tensors, places = _described(spec, given, place)
    cases = choices.read_cases(spec, tensors[SELECT], place)
    signature = choices.switch_signature(cases, tensors, places)
    written = {read: case for case, read in cases.items()} | {ELSE: ELSE}
    ports = [(SELECT, given[SELECT][0])]
    for port in (item.name for item in signature.inputs[1:]):
        case, _, output = port.rpartition(".")
        ports.append((port, given[f"{written[case]}.{output}"][0]))
    return Node(name, "switch", tuple(ports), signature, cases=tuple(cases.values()))


def _described(spec: NodeSpec, given: Given, place: Place) -> tuple[dict[str, TensorSpec], dict[str, Place]]:
    places = {port: place.at(*edge.location) for port, edge in spec.edges().items()}
    return {port: tensor for port, (_, tensor) in given.items()}, places


def _ports(given: Given) -> tuple[Port, ...]:
    return tuple((port, source) for port, (source, _) in given.items())
