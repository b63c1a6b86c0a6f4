"""A revision's canonical form: one graph with its settings as one JSON document, and that document's digest."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aimass.core.ids import Digest
from aimass.graph.graph import Graph, Node
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
