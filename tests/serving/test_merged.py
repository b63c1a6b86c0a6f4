"""The merged plan's model: one session, the same bytes every time, nothing in it that nobody needs, refusals."""

from dataclasses import replace

import onnx
import pytest
from onnx import TensorProto, helper

from aimass.core.errors import Invalid
from aimass.graph.graph import Graph
from aimass.serving.layout import Layout
from aimass.serving.plans.merged import compile_merged, merge
from tests.serving.served_models import ONE, VOTE, graph_from, layout_from, shelf


def test_one_graph_in_the_services_own_names() -> None:
    layout = layout_from(graph_from(VOTE), "merged")
    assert [node.name for node in layout.nodes] == ["merged"]
    (digest,) = layout.digests
    model = onnx.load_model_from_string(shelf().read(digest))
    assert [item.name for item in model.graph.input] == ["image"]
    assert [item.name for item in model.graph.output] == ["label", "probabilities"]
    domains = [item.domain for item in model.opset_import]
    assert len(domains) == len(set(domains))
    assert "ZipMap" not in {node.op_type for node in model.graph.node}
    onnx.checker.check_model(model, full_check=True)


def test_the_same_graph_gives_the_same_bytes() -> None:
    lines = VOTE.splitlines(keepends=True)
    reordered = "".join([*lines[:4], *lines[6:8], *lines[4:6], *lines[8:]])
    assert reordered != VOTE
    assert compile_merged(graph_from(VOTE), shelf().read) == compile_merged(graph_from(reordered), shelf().read)


def test_what_nobody_needs_is_left_out() -> None:
    only_label = VOTE.replace(", probabilities: vote.probabilities}", "}")
    operators = {node.op_type for node in merge(graph_from(only_label), shelf().read).graph.node}
    assert "ArgMax" in operators
    only_chances = VOTE.replace("{label: vote.label, ", "{")
    model = merge(graph_from(only_chances), shelf().read)
    assert not {"ArgMax", "ArrayFeatureExtractor"} & {node.op_type for node in model.graph.node}
    read = {name for node in model.graph.node for name in node.input}
    assert {item.name for item in model.graph.initializer} <= read


def test_layouts_survive_json() -> None:
    for plan in ("merged", "fused"):
        layout = layout_from(graph_from(VOTE), plan)
        assert Layout.from_json(layout.to_json()) == layout


def with_model(data: bytes) -> Graph:
    """The one-model service with another file behind its linear node."""
    graph = graph_from(ONE)
    files = {"model.onnx": shelf().put(data)}
    nodes = tuple(replace(node, files=files) if node.name == "linear" else node for node in graph.nodes)
    return replace(graph, nodes=nodes)


def softmax(opset: int) -> bytes:
    """Softmax without an axis, which meant axis 1 of a flattened tensor before operator set 13."""
    nodes = [
        helper.make_node("Softmax", ["x"], ["probabilities"]),
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 64]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs), opset_imports=[helper.make_opsetid("", opset)]
    )
    return bytes(model.SerializeToString())


def test_operators_that_changed_their_meaning_are_refused() -> None:
    with pytest.raises(Invalid, match=r"node 'linear' uses Softmax of operator set ai.onnx 11.*needs 18"):
        compile_merged(with_model(softmax(11)), shelf().read)
    compile_merged(with_model(softmax(13)), shelf().read)


def test_an_input_that_passes_straight_through_is_refused() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])
    node = helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0)
    label = helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])
    model = helper.make_model(helper.make_graph([node], "g", [value], [label, value]))
    with pytest.raises(Invalid, match="straight through"):
        compile_merged(with_model(model.SerializeToString()), shelf().read)


@pytest.mark.parametrize(
    ("change", "says"), [({"runtime": "torch"}, "runs by 'torch'"), ({"files": {"a": "1", "b": "2"}}, "has 2 files")]
)
def test_what_onnx_alone_cannot_hold_is_refused(change: dict[str, object], says: str) -> None:
    graph = graph_from(ONE)
    changed = replace(graph, nodes=(replace(graph.nodes[0], **change), *graph.nodes[1:]))  # type: ignore[arg-type]
    with pytest.raises(Invalid, match=says):
        compile_merged(changed, shelf().read)


def nested_if() -> bytes:
    """A model whose branches read tensors of the graph around them."""
    branches = {}
    for name, operator in (("then_branch", "Neg"), ("else_branch", "Abs")):
        inner = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)
        node = helper.make_node(operator, ["x"], [f"{name}_out"])
        branches[name] = helper.make_graph([node], name, [], [inner])
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["probabilities"], **branches),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 64]),
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [zero])
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())


def test_nested_graphs_are_renamed_with_the_rest() -> None:
    model = merge(with_model(nested_if()), shelf().read)
    onnx.checker.check_model(model, full_check=True)
    (branching,) = (node for node in model.graph.node if node.op_type == "If")
    assert {attribute.g.node[0].input[0] for attribute in branching.attribute} == {"scale/y"}
