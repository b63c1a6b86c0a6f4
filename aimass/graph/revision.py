"""A revision's canonical form: one graph with its settings as one JSON document, and that document's digest."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aimass.core.ids import Digest
from aimass.core.signature import Signature, TensorSpec
from aimass.graph.graph import CostProfile, Graph, Node, Source
from aimass.graph.spec import ServiceSpec

FORMAT = 1


def canonical(graph: Graph, spec: ServiceSpec) -> dict[str, Any]:
    """All that the revision's answers and limits depend on; equal for documents that mean the same."""
    return {
        "format": FORMAT,
        "service": spec.service,
        "inputs": [tensor.to_json() for tensor in graph.inputs],
        "nodes": [_node_to_json(node) for node in graph.nodes],
        "outputs": [
            {**tensor.to_json(), "source": [source.node, source.tensor]}
            for tensor, source in zip(graph.outputs, graph.sources, strict=True)
        ],
        "placement": spec.placement,
        "limits": spec.limits.model_dump(mode="json"),
        "slo": spec.slo.model_dump(mode="json"),
    }


def digest(document: Mapping[str, Any]) -> Digest:
    """SHA-256 of the document's JSON with sorted keys and no spaces."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Digest(hashlib.sha256(text.encode()).hexdigest())


def graph_of(document: Mapping[str, Any], profiles: Mapping[str, CostProfile] | None = None) -> Graph:
    """The graph of a stored revision; ``profiles`` (pinned reference → profile) are looked up by the caller."""
    return Graph(
        inputs=tuple(TensorSpec.from_json(item) for item in document["inputs"]),
        nodes=tuple(_node_from_json(item) for item in document["nodes"]),
        outputs=tuple(TensorSpec.from_json(item) for item in document["outputs"]),
        sources=tuple(Source(*item["source"]) for item in document["outputs"]),
        profiles=profiles or {},
    )


def _node_to_json(node: Node) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": node.name,
        "kind": node.kind,
        "inputs": [[port, source.node, source.tensor] for port, source in node.inputs],
        "signature": node.signature.to_json(),
    }
    if node.kind == "combine":
        data["combine"] = node.combine
        if node.weights is not None:
            data["weights"] = list(node.weights)
        if node.classes is not None:
            data["classes"] = list(node.classes)
    else:
        data |= {"ref": node.ref, "runtime": node.runtime, "files": dict(node.files)}
    return data


def _node_from_json(data: Mapping[str, Any]) -> Node:
    weights, classes = data.get("weights"), data.get("classes")
    return Node(
        name=data["name"],
        kind=data["kind"],
        inputs=tuple((port, Source(node, tensor)) for port, node, tensor in data["inputs"]),
        signature=Signature.from_json(data["signature"]),
        ref=data.get("ref", ""),
        runtime=data.get("runtime", ""),
        files=data.get("files", {}),
        combine=data.get("combine", ""),
        weights=None if weights is None else tuple(weights),
        classes=None if classes is None else tuple(classes),
    )
