"""Whether a graph can be one ONNX model, as far as it shows without opening the models. Pure."""

from aimass.graph.graph import Graph


def why_not_merged(graph: Graph) -> str:
    """The reason, or nothing."""
    for node in graph.nodes:
        if node.kind == "combine":
            continue
        if node.runtime != "onnx":
            return f"node {node.name!r} ({node.ref}) runs by {node.runtime!r}, not by onnx"
        if len(node.files) != 1:
            return f"node {node.name!r} ({node.ref}) has {len(node.files)} files; one model file can be merged"
    return ""
