"""Whether a node can be part of one merged ONNX model, as far as it shows without opening its files."""

from aimass.core.signature import Datatype
from aimass.graph.graph import SELECT, Node


def why_alone(node: Node) -> str:
    """The reason why it cannot, or nothing."""
    what = f"node {node.name!r}" + (f" ({node.ref})" if node.ref else "")
    if node.ref and node.runtime != "onnx":
        return f"{what} runs by {node.runtime!r}, not by onnx"
    if node.ref and len(node.files) != 1:
        return f"{what} has {len(node.files)} files; one model file can be merged"
    said = policy_keys(node)
    if said:
        return f"{what} has {said[0]!r}, which needs it to run by itself"
    if node.kind == "switch" and _selector(node) is Datatype.BYTES:
        return f"{what} chooses by text, which onnx cannot compare everywhere"
    return ""


def policy_keys(node: Node) -> list[str]:
    """What its policy says, by the keys of the document."""
    return sorted(node.policy.to_json())


def _selector(node: Node) -> Datatype:
    return next(spec.datatype for spec in node.signature.inputs if spec.name == SELECT)
