"""ONNX models as parts of a larger one: prefixed, brought to common operator sets, renamed, pruned."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import onnx
from onnx import compose, inliner

from aimass.core.errors import Invalid
from aimass.graph.graph import Node
from aimass.serving.layout import Read

MIN_OPSET = 13
"""Of the default domain: from here on the combiners' operators mean what they mean today."""


def load_part(node: Node, read: Read) -> Any:
    """The node's ``ModelProto``, local functions inlined, every name prefixed by ``node/``."""
    (digest,) = node.files.values()
    model = onnx.load_model_from_string(read(digest))
    if model.functions:
        model = inliner.inline_local_functions(model)
    if any(item.data_location == onnx.TensorProto.EXTERNAL for item in model.graph.initializer):
        raise _refusal(node, "keeps its weights in another file")
    given = {item.name for item in model.graph.input}
    if any(item.name in given for item in model.graph.output):
        raise _refusal(node, "passes an input straight through")
    return compose.add_prefix(model, f"{node.name}/", inplace=True)


def unite_opsets(parts: Mapping[str, Any]) -> dict[str, int]:
    """One version per domain, the highest of any part; ``Invalid`` when an operator in use differs between them."""
    stated = {name: _opsets(part) for name, part in parts.items()}
    united = {"": MIN_OPSET}
    for opsets in stated.values():
        for domain, version in opsets.items():
            united[domain] = max(version, united.get(domain, version))
    for name, part in parts.items():
        for node in _all_nodes(part.graph.node):
            domain = _domain(node.domain)
            old, new = stated[name].get(domain, united[domain]), united[domain]
            if old != new and not _means_the_same(node.op_type, domain, old, new):
                raise Invalid(
                    f"cannot be merged: node {name!r} uses {node.op_type} of operator set {domain or 'ai.onnx'} {old}, "
                    f"another model needs {new}; export both with the same operator set",
                    field="placement",
                )
    return united


def rename(graph: Any, names: Mapping[str, str]) -> None:
    """Tensors of ``graph`` by their new names, inside its nested graphs as well."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for nested in _nested(node):
            rename(nested, names)
    for item in graph.initializer:
        item.name = names.get(item.name, item.name)
    for item in graph.sparse_initializer:
        item.values.name = names.get(item.values.name, item.values.name)
    for item in graph.output:
        item.name = names.get(item.name, item.name)


def prune(nodes: Sequence[Any], outputs: Iterable[str]) -> list[Any]:
    """The nodes that ``outputs`` need, in their order."""
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):
        if any(name in needed for name in node.output):
            kept.append(node)
            needed |= reads([node])
    return kept[::-1]


def reads(nodes: Iterable[Any]) -> set[str]:
    """Every tensor that the nodes or their nested graphs read."""
    found: set[str] = set()
    for node in _all_nodes(nodes):
        found.update(node.input)
        for nested in _nested(node):
            found.update(item.name for item in nested.output)
    return found


def _refusal(node: Node, why: str) -> Invalid:
    return Invalid(f"cannot be merged: node {node.name!r} ({node.ref}) {why}", field="placement")


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _opsets(model: Any) -> dict[str, int]:
    """Domain → version; converters state some domains twice, and the highest counts."""
    found: dict[str, int] = {}
    for item in model.opset_import:
        domain = _domain(item.domain)
        found[domain] = max(item.version, found.get(domain, 0))
    return found


def _all_nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        yield node
        for nested in _nested(node):
            yield from _all_nodes(nested.node)


def _nested(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs


def _means_the_same(operator: str, domain: str, old: int, new: int) -> bool:
    """Whether the newer operator takes the older one's inputs and attributes with the same defaults.

    Most new versions only add datatypes, optional inputs or optional attributes.
    """
    try:
        before = onnx.defs.get_schema(operator, old, domain)
        after = onnx.defs.get_schema(operator, new, domain)
    except onnx.defs.SchemaError:
        return False
    if before.since_version == after.since_version:
        return True
    if after.deprecated or len(after.outputs) != len(before.outputs) or len(after.inputs) < len(before.inputs):
        return False
    same_inputs = all(a.option == b.option for a, b in zip(before.inputs, after.inputs, strict=False))
    optional = onnx.defs.OpSchema.FormalParameterOption.Optional
    new_inputs = all(item.option == optional for item in after.inputs[len(before.inputs) :])
    kept = all(
        name in after.attributes and after.attributes[name].default_value == attribute.default_value
        for name, attribute in before.attributes.items()
    )
    added = all(not item.required for name, item in after.attributes.items() if name not in before.attributes)
    return same_inputs and new_inputs and kept and added
