"""Whether a graph can be one ONNX model, as far as it shows without opening the models. Pure."""

from aimass.graph.checks.merging import why_alone
from aimass.graph.graph import Graph


def why_not_merged(graph: Graph) -> str:
    """The reason, or nothing."""
    for node in graph.nodes:
        if node.placement in ("fused", "fanout"):
            return f"node {node.name!r} is placed as {node.placement} by the service"
        reason = why_alone(node)
        if reason:
            return reason
    return ""
