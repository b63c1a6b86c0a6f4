"""The merged plan's model: one session, the same bytes every time, nothing in it that nobody needs, refusals."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.core.signature import NUMPY, Datatype
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


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "forest@1,",
            "forest@1, retries: 1,",
            r"node 'forest' \(forest@1\) has 'retries', which needs it to run by itself",
        ),
        ("forest@1,", "forest@1, fallback: linear,", "has 'fallback'"),
        ("forest@1,", "forest@1, placement: fanout,", "node 'forest' is placed as fanout by the service"),
        ("combine: weighted", "placement: fused\n      combine: weighted", "node 'vote' is placed as fused"),
    ],
)
def test_what_must_run_by_itself_is_not_merged(old: str, new: str, says: str) -> None:
    with pytest.raises(Invalid, match=f"cannot be merged: .*{says}"):
        compile_merged(graph_from(VOTE.replace(old, new)), shelf().read)


def test_a_quorum_alone_does_not_keep_a_graph_from_being_merged() -> None:
    compile_merged(graph_from(VOTE.replace("combine:", "quorum: 1\n      combine:")), shelf().read)


def switching(selector: Datatype, case: str, values: Datatype = Datatype.FP32, shape: str = "[-1]") -> Graph:
    """A service that is nothing but a switch between two of its inputs."""
    return graph_from(f"""\
service: route
graph:
  inputs:
    k: {{datatype: {selector}, shape: {shape}}}
    a: {{datatype: {values}, shape: [-1, 2, 1]}}
    b: {{datatype: {values}, shape: [-1, 2, 1]}}
  nodes:
    route: {{switch: $in.k, cases: {{"{case}": {{v: $in.a}}}}, else: {{v: $in.b}}}}
  outputs: {{v: route.v}}
""")


def test_a_switch_by_text_is_refused() -> None:
    with pytest.raises(Invalid, match="node 'route' chooses by text"):
        compile_merged(switching(Datatype.BYTES, "de"), shelf().read)


WHOLE_NUMBERS = [item for item in Datatype if item not in (Datatype.FP16, Datatype.FP32, Datatype.FP64, Datatype.BYTES)]


@pytest.mark.parametrize("selector", WHOLE_NUMBERS)
def test_a_switch_compares_every_whole_number(selector: Datatype) -> None:
    dtype = NUMPY[selector]
    edges = [True, False] if dtype.kind == "b" else [np.iinfo(dtype).max, np.iinfo(dtype).min, 3]
    for case in edges:
        graph = switching(selector, str(case).lower(), shape="[-1, 1]")
        given = np.array(edges, dtype).reshape(-1, 1)
        _check_switch(graph, given, np.array([edge == case for edge in edges]), Datatype.FP32)


@pytest.mark.parametrize("values", [item for item in Datatype if item is not Datatype.BYTES])
def test_a_switch_gives_values_of_every_datatype(values: Datatype) -> None:
    graph = switching(Datatype.INT64, "-1", values)
    _check_switch(graph, np.array([-1, 1, 0, -1]), np.array([True, False, False, True]), values)


def _check_switch(graph: Graph, selector: Array, first: Array, values: Datatype) -> None:
    dtype = NUMPY[values]
    a, b = np.zeros((len(selector), 2, 1), dtype), np.ones((len(selector), 2, 1), dtype)
    if dtype.kind in "iu":
        b[:] = np.iinfo(dtype).max
    session = onnxruntime.InferenceSession(compile_merged(graph, shelf().read), providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {"k": selector, "a": a, "b": b})
    assert given.dtype == dtype
    np.testing.assert_array_equal(given, np.where(first[:, None, None], a, b))


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
