"""What must hold of a node before it may stand in a graph: names, datatypes, shapes and weights of its edges."""

import math
from collections.abc import Iterable, Mapping

from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.graph.graph import INPUT, ModelInfo
from aimass.graph.places import Place
from aimass.graph.spec import NodeSpec

LABEL = "label"
PROBABILITIES = "probabilities"


def split_source(text: str, nodes: Mapping[str, object], inputs: Iterable[str], place: Place) -> tuple[str, str]:
    """``forest.probabilities`` → (forest, probabilities); whether the node has such an output shows later."""
    node, dot, tensor = text.partition(".")
    if not dot or not tensor:
        raise place.error(f"{text!r} must read NODE.OUTPUT or {INPUT}.INPUT")
    if node == INPUT:
        if tensor not in inputs:
            raise place.error(f"there is no input {tensor!r}; inputs: {_names(inputs)}")
    elif node not in nodes:
        raise place.error(f"there is no node {node!r}; nodes: {_names(nodes)}")
    return node, tensor


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


def combine_signature(spec: NodeSpec, members: Mapping[str, TensorSpec], place: Place) -> Signature:
    """The signature of a combine node over ``members``: class probabilities in, probabilities and label out."""
    first = next(iter(members.values()))
    for port, member in members.items():
        at = place.at("inputs", int(port))
        if member.datatype is not Datatype.FP32 or len(member.shape) != 2:
            raise at.error(f"a combiner takes FP32 of shape [-1, classes], not {member.datatype} {list(member.shape)}")
        if member.shape != first.shape:
            raise at.error(f"shape {list(member.shape)} differs from the first member's {list(first.shape)}")
    weights = spec.weights
    if weights is not None:
        if len(weights) != len(members):
            raise place.at("weights").error(f"{len(weights)} weights for {len(members)} inputs")
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or sum(weights) <= 0:
            raise place.at("weights").error("weights must be 0 or more, and not all 0")
    if spec.classes is not None and len(spec.classes) != first.shape[1]:
        raise place.at("classes").error(f"{len(spec.classes)} classes for {first.shape[1]} probabilities")
    has_names = any(isinstance(label, str) for label in spec.classes or ())
    return Signature(
        inputs=tuple(TensorSpec(port, member.datatype, member.shape) for port, member in members.items()),
        outputs=(
            TensorSpec(LABEL, Datatype.BYTES if has_names else Datatype.INT64, (-1,)),
            TensorSpec(PROBABILITIES, Datatype.FP32, first.shape),
        ),
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
