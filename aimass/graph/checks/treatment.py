"""How nodes are treated: what a placement by request rules out, what may stand in for a node, what may be lost."""

from collections.abc import Iterable, Mapping, Sequence

from aimass.core.signature import TensorSpec
from aimass.graph.checks.merging import policy_keys, why_alone
from aimass.graph.document.nodes import NodeSpec
from aimass.graph.document.policies import POLICY_KEYS, SCALE_KEYS
from aimass.graph.graph import INPUT, Node, Source
from aimass.graph.missing import lost_with
from aimass.graph.places import Place


def check_placement(node: Node, spec: NodeSpec, asked: str, place: Place, asked_at: Place) -> None:
    """``asked``: the plan that somebody asks for this node, at ``asked_at``; empty when the planner chooses."""
    check_scale(spec, asked, place)
    if asked == "merged":
        said = policy_keys(node)
        if said:
            where = place.at(said[0])
            raise where.error("a merged node is part of one call; remove this, or place the node fused or fanout")
        problem = why_alone(node)
        if problem:
            raise asked_at.error(f"cannot be merged: {problem}")


def check_scale(spec: NodeSpec, asked: str, place: Place) -> None:
    """Replicas and devices are for nodes that are deployments of their own by request."""
    for key in SCALE_KEYS:
        if getattr(spec, key) is not None and asked != "fanout":
            raise place.at(key).error(f"{key!r} is for a node with `placement: fanout`, which this one has not")


def check_no_policy(spec: NodeSpec, what: str, place: Place) -> None:
    """An ensemble becomes several nodes; each of them may have a policy of its own."""
    for key in POLICY_KEYS:
        if key in spec.model_fields_set:
            raise place.at(key).error(
                f"{what} is an ensemble of several nodes; say which, as in members: {{NODE: {{{key}: …}}}}"
            )


def check_fallback(
    outputs: Sequence[TensorSpec], stand_in: Mapping[str, tuple[Source, TensorSpec]], name: str, place: Place
) -> str:
    """The full name of the one node that can stand in: it gives all of ``outputs``, by their names."""
    for spec in outputs:
        if spec.name not in stand_in:
            raise place.error(f"{name!r} has no output {spec.name!r}; a fallback gives all that the node itself gives")
        problem = spec.accepts(stand_in[spec.name][1])
        if problem:
            raise place.error(f"output {spec.name!r} of {name!r} has {problem}")
    sources = {spec.name: stand_in[spec.name][0] for spec in outputs}
    nodes = {source.node for source in sources.values()}
    if len(nodes) != 1 or any(source.tensor != tensor for tensor, source in sources.items()):
        raise place.error(f"{name!r} gives its outputs by several nodes; a fallback is one node")
    return nodes.pop()


def check_absorbed(
    nodes: Sequence[Node], outputs: Mapping[str, Source], places: Mapping[str, Place], named: Sequence[str]
) -> None:
    """The nodes ``named``, which say ``required: false``: can every output be given without each of them?"""
    for name in named:
        lost = lost_with(nodes, name)
        for output, source in outputs.items():
            if source.node in lost:
                raise (
                    places[name]
                    .at("required")
                    .error(
                        f"output {output!r} needs this node, and nothing on the way goes on without it; "
                        "give a combiner a quorum, or remove `required: false`"
                    )
                )


def takes(sources: Iterable[Source], fallback: str | None) -> set[str]:
    """The nodes that must stand before one that reads ``sources``."""
    return {source.node for source in sources if source.node != INPUT} | ({fallback} if fallback else set())
