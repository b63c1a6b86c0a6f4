"""The merged plan: all of a graph's ONNX models and combiners as one ONNX model, answered by one session call."""

from collections.abc import Iterable, Mapping
from typing import Any

import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from aimass.core.errors import Invalid
from aimass.core.ids import Digest
from aimass.core.signature import NUMPY, TensorSpec
from aimass.graph.check import LABEL, PROBABILITIES
from aimass.graph.graph import INPUT, Graph, Node, Source
from aimass.serving.combining import labels_of, make_combiner
from aimass.serving.layout import Layout, LayoutNode, Read
from aimass.serving.plans import onnx_parts
from aimass.serving.plans.mergeable import why_not_merged

NAME = "merged"  # of the one node
MODEL_FILE = "model.onnx"


def compile_merged(graph: Graph, read: Read) -> bytes:
    """The one ONNX model; the same graph always gives the same bytes. ``Invalid``, with the reason, when the graph
    cannot be merged."""
    reason = why_not_merged(graph)
    if reason:
        raise Invalid(f"cannot be merged: {reason}", field="placement")
    return bytes(merge(graph, read).SerializeToString(deterministic=True))


def merged_layout(graph: Graph, model: Digest) -> Layout:
    """One node whose file is the compiled model."""
    node = LayoutNode(
        name=NAME,
        inputs=tuple((spec.name, Source(INPUT, spec.name)) for spec in graph.inputs),
        signature=graph.signature,
        runtime="onnx",
        files={MODEL_FILE: model},
    )
    sources = tuple(Source(NAME, spec.name) for spec in graph.outputs)
    return Layout("merged", (node,), graph.inputs, graph.outputs, sources)


def merge(graph: Graph, read: Read) -> Any:
    """The ``ModelProto``: inputs and outputs named as the service's, everything else as ``node/name``."""
    parts = {node.name: onnx_parts.load_part(node, read) for node in graph.nodes if node.kind != "combine"}
    opsets = onnx_parts.unite_opsets(parts)
    names = _tensor_names(graph)
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    sparse: list[Any] = []
    for node in graph.nodes:
        if node.kind == "combine":
            more, made = _combine(node, names)
            constants += made
        else:
            part = parts[node.name].graph
            onnx_parts.rename(part, _renamed(node, names))
            more = list(part.node)
            constants += part.initializer
            sparse += part.sparse_initializer
        nodes += more
    nodes += _repeats(graph, names)
    nodes = onnx_parts.prune(nodes, [spec.name for spec in graph.outputs])
    used = onnx_parts.reads(nodes)
    merged = helper.make_graph(
        nodes,
        "merged",
        [_value(spec) for spec in graph.inputs],
        [_value(spec) for spec in graph.outputs],
        initializer=[item for item in constants if item.name in used],
        sparse_initializer=[item for item in sparse if item.values.name in used],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in sorted(opsets.items())]
    model = helper.make_model(merged, opset_imports=imports, producer_name="aimass")
    versions = [part.ir_version for part in parts.values()]
    model.ir_version = max([*versions, helper.find_min_ir_version_for(imports, ignore_unknown=True)])
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise Invalid(f"cannot be merged: the models do not fit together: {error}", field="placement") from error
    return model


def _tensor_names(graph: Graph) -> dict[Source, str]:
    """What each tensor between nodes is called; one that leaves the graph bears the service's name for it."""
    names = {Source(INPUT, spec.name): spec.name for spec in graph.inputs}
    for node in graph.nodes:
        for spec in node.signature.outputs:
            names[Source(node.name, spec.name)] = f"{node.name}/{spec.name}"
    for spec, source in reversed(list(zip(graph.outputs, graph.sources, strict=True))):
        names[source] = spec.name
    return names


def _renamed(node: Node, names: Mapping[Source, str]) -> dict[str, str]:
    inputs = {f"{node.name}/{port}": names[source] for port, source in node.inputs}
    outputs = {f"{node.name}/{spec.name}": names[Source(node.name, spec.name)] for spec in node.signature.outputs}
    return inputs | outputs


def _combine(node: Node, names: Mapping[Source, str]) -> tuple[list[NodeProto], list[TensorProto]]:
    """The combiner's own nodes, then the index of the best column, then the class it stands for."""
    prefix = f"{node.name}/"
    probabilities, label = (names[Source(node.name, name)] for name in (PROBABILITIES, LABEL))
    combiner = make_combiner(node.combine, node.weights, f"graph.nodes.{node.name}.combine")
    nodes, constants = combiner.onnx_nodes([names[source] for _, source in node.inputs], probabilities, prefix)
    best = label if node.classes is None else f"{prefix}best"
    nodes = [*nodes, helper.make_node("ArgMax", [probabilities], [best], f"{prefix}argmax", axis=1, keepdims=0)]
    if node.classes is not None:
        classes = numpy_helper.from_array(labels_of(node.classes), f"{prefix}classes")
        constants = [*constants, classes]
        nodes.append(helper.make_node("Gather", [classes.name, best], [label], f"{prefix}gather", axis=0))
    return nodes, constants


def _repeats(graph: Graph, names: Mapping[Source, str]) -> Iterable[NodeProto]:
    """A tensor that leaves under a second name is copied to it."""
    for spec, source in zip(graph.outputs, graph.sources, strict=True):
        if names[source] != spec.name:
            yield helper.make_node("Identity", [names[source]], [spec.name], f"copy/{spec.name}")


def _value(spec: TensorSpec) -> Any:
    """Its first dimension counts the same rows everywhere; other free ones are each their own."""
    dtype = helper.np_dtype_to_tensor_dtype(NUMPY[spec.datatype])
    free = [f"{spec.name}_{axis}" if size == -1 else size for axis, size in enumerate(spec.shape)]
    return helper.make_tensor_value_info(spec.name, dtype, ["rows", *free[1:]])
