"""A revision's canonical form: one graph with its settings as one JSON document, whose digest is the revision's.

Format 1 knows models, transforms and combiners. Format 2 adds choices, quorums, policies, placements and sizes of
nodes, limits of batching, and the declared load. Format 3 adds what is kept of calls. A document says the lowest format
that holds it, so what needs nothing new keeps its digest. To raise the format: add what is new so that its absence
means what was before, tell the new from the old in ``canonical`` or ``_format``, and put a document with its digest
into ``tests/graph/golden``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aimass.core.errors import Invalid
from aimass.core.policies import NO_POLICY, NodePolicy, NodeScale
from aimass.core.signature import Signature, TensorSpec
from aimass.graph.document.payloads import PayloadsSpec
from aimass.graph.graph import CostProfile, Graph, Node, Source
from aimass.graph.spec import LimitsSpec, ServiceSpec, SloSpec

FORMAT = 3
_NEW_KINDS = {"switch", "cascade"}
_NEW_KEYS = {"ragged", "quorum", "policy", "essential", "placement", "scale"}
_NEW_LIMITS = {"batch_rows", "max_wait_ms", "pinned"}
_NEW_SLO = {"load_rps"}
_VALUES = ("ref", "runtime", "files", "combine", "quorum", "on_missing", "essential", "placement")
_LISTS = ("weights", "classes", "cases", "thresholds", "temperatures")


def canonical(graph: Graph, spec: ServiceSpec) -> dict[str, Any]:
    """All that the revision's answers and limits depend on; equal for documents that mean the same."""
    nodes = [_node_to_json(node) for node in graph.nodes]
    inputs = [tensor.to_json() for tensor in graph.inputs]
    limits, slo = _limits_to_json(spec.limits), _slo_to_json(spec.slo)
    kept = {} if spec.payloads is None else {"payloads": _payloads_to_json(spec.payloads)}
    return {
        "format": 3 if kept else _format([*nodes, *inputs], limits, slo),
        "service": spec.service,
        "inputs": inputs,
        "nodes": nodes,
        "outputs": [
            {**tensor.to_json(), "source": [source.node, source.tensor]}
            for tensor, source in zip(graph.outputs, graph.sources, strict=True)
        ],
        "placement": spec.placement,
        "limits": limits,
        "slo": slo,
        **kept,
    }


def graph_of(document: Mapping[str, Any], profiles: Mapping[str, CostProfile] | None = None) -> Graph:
    """The graph of a stored revision of any format; ``profiles`` (pinned reference → profile) are looked up by the
    caller. A document of a newer format is ``Invalid``."""
    if document["format"] > FORMAT:
        raise Invalid(f"revision of format {document['format']}; this version reads up to {FORMAT}: update AI Mass")
    return Graph(
        inputs=tuple(TensorSpec.from_json(item) for item in document["inputs"]),
        nodes=tuple(_node_from_json(item) for item in document["nodes"]),
        outputs=tuple(TensorSpec.from_json(item) for item in document["outputs"]),
        sources=tuple(Source(*item["source"]) for item in document["outputs"]),
        profiles=profiles or {},
    )


def _format(parts: Sequence[Mapping[str, Any]], limits: Mapping[str, Any], slo: Mapping[str, Any]) -> int:
    new = any(part.get("kind") in _NEW_KINDS or _NEW_KEYS & part.keys() for part in parts)
    return 2 if new or _NEW_LIMITS & limits.keys() or _NEW_SLO & slo.keys() else 1


def _limits_to_json(limits: LimitsSpec) -> dict[str, Any]:
    usual = LimitsSpec()
    return {
        key: value
        for key, value in limits.model_dump(mode="json").items()
        if key not in _NEW_LIMITS or value != getattr(usual, key)
    }


def _slo_to_json(slo: SloSpec) -> dict[str, Any]:
    said = slo.model_dump(mode="json")
    return {key: value for key, value in said.items() if key not in _NEW_SLO or value is not None}


def _payloads_to_json(payloads: PayloadsSpec) -> dict[str, Any]:
    said = payloads.model_dump(mode="json")
    return {**said, "private": {how: sorted(names) for how, names in said["private"].items()}}


def _node_to_json(node: Node) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": node.name,
        "kind": node.kind,
        "inputs": [[port, source.node, source.tensor] for port, source in node.inputs],
        "signature": node.signature.to_json(),
    }
    if node.ref:
        data |= {"ref": node.ref, "runtime": node.runtime, "files": dict(node.files)}
    data |= {key: getattr(node, key) for key in _VALUES[3:] if getattr(node, key)}
    data |= {key: list(getattr(node, key)) for key in _LISTS if getattr(node, key)}
    if node.policy != NO_POLICY:
        data["policy"] = node.policy.to_json()
    if node.scale is not None:
        data["scale"] = node.scale.to_json()
    return data


def _node_from_json(data: Mapping[str, Any]) -> Node:
    rest: dict[str, Any] = {key: data[key] for key in _VALUES if key in data}
    rest |= {key: tuple(data[key]) for key in _LISTS if key in data}
    return Node(
        name=data["name"],
        kind=data["kind"],
        inputs=tuple((port, Source(node, tensor)) for port, node, tensor in data["inputs"]),
        signature=Signature.from_json(data["signature"]),
        policy=NodePolicy.from_json(data.get("policy", {})),
        scale=NodeScale.from_json(data["scale"]) if "scale" in data else None,
        **rest,
    )
