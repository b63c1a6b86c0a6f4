"""A service document that is wrong is refused with line and field, and the next good one works."""

import pytest

from aimass.core.documents import Document
from aimass.core.errors import DocumentError, Invalid
from aimass.graph.build import build_graph
from aimass.graph.spec import load_service
from tests.graph.registered import VOTE, graph_from, lookup, one_model

NODE = "graph.nodes."


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "says"),
    [
        ("service: digits", "service: Digits", 1, "service", "lower-case"),
        ("service: digits", "servise: digits", 1, "servise", "unknown key"),
        ("model: digits-forest@1", "modell: digits-forest@1", 13, NODE + "forest.modell", "unknown key"),
        ("model: digits-forest@1", "combine: mean", 12, NODE + "forest", "list of inputs"),
        ("      model: digits-forest@1\n", "", 12, NODE + "forest", "one of model, transform, combine"),
        ("shape: [-1, 64]", "shape: [64]", 4, "graph.inputs.image.shape", "-1, the rows"),
        ("shape: [-1, 64]", "shape: [-1, 0]", 4, "graph.inputs.image.shape", "1 or more"),
        ("datatype: FP32", "datatype: FLOAT", 4, "graph.inputs.image.datatype", "FP32"),
        ("datatype: FP32", "datatype: FP64", 14, NODE + "forest.inputs.x", "FP64 where FP32"),
        ("shape: [-1, 64]", "shape: [-1, 63]", 14, NODE + "forest.inputs.x", "[-1, 63] where [-1, 64]"),
        ("{x: scale.y}", "{x: scale.z}", 11, NODE + "linear.inputs.x", "it has: y"),
        ("{x: scale.y}", "{x: scales.y}", 11, NODE + "linear.inputs.x", "no node 'scales'"),
        ("{x: scale.y}", "{x: $in.picture}", 11, NODE + "linear.inputs.x", "inputs: image"),
        ("{x: scale.y}", "{x: scale}", 11, NODE + "linear.inputs.x", "NODE.OUTPUT"),
        ("{x: scale.y}", "{z: scale.y}", 11, NODE + "linear.inputs.z", "no input 'z'"),
        ("{x: scale.y}", "{}", 11, NODE + "linear.inputs", "needs its input 'x'"),
        ("{x: scale.y}", "[scale.y]", 11, NODE + "linear.inputs.0", "it takes: x"),
        ("{x: $in.image}", "{x: linear.probabilities}", 11, NODE + "linear.inputs.x", "linear ← scale ← linear"),
        ("digits-linear@champion", "digits-linear@best", 10, NODE + "linear.model", "no digits-linear@best"),
        ("digits-linear@champion", "digits-linear", 10, NODE + "linear.model", "registered"),
        ("transform: digits-scale@1", "model: digits-scale@1", 7, NODE + "scale.model", "write `transform:"),
        ("model: digits-forest@1", "transform: digits-forest@1", 13, NODE + "forest.transform", "write `model:"),
        ("model: digits-forest@1", "weights: [1]\n      model: digits-forest@1", 12, NODE + "forest", "'weights'"),
        ("[0.6, 0.4]", "[0.6]", 17, NODE + "vote.weights", "1 weights for 2 inputs"),
        ("[0.6, 0.4]", "[0.6, -0.4]", 17, NODE + "vote.weights", "0 or more"),
        ("[0.6, 0.4]", "[.inf, 0.4]", 17, NODE + "vote.weights.0", "finite"),
        ("weights: [0.6, 0.4]", "classes: [1, b]", 17, NODE + "vote.classes", "not both"),
        ("weights: [0.6, 0.4]", "classes: [no, yes]", 17, NODE + "vote.classes", "quote a name"),
        ("weights: [0.6, 0.4]", "classes: []", 17, NODE + "vote.classes", "whole numbers, or names"),
        ("weights: [0.6, 0.4]", "classes: [1, 2]", 17, NODE + "vote.classes", "2 classes for 10"),
        ("[forest.probabilities, ", "[forest.label, ", 18, NODE + "vote.inputs.0", "not INT64 [-1]"),
        ("label: vote.label", "label: $in.image", 20, "graph.outputs.label", "an output comes from a node"),
        ("label: vote.label", "image: vote.label", 2, "graph", "'image' is an input and an output"),
        ("label: vote.label", "'a b': vote.label", 20, "graph.outputs.a b", "tensor name 'a b'"),
        (
            "[0.6, 0.4]\n      inputs: [forest.probabilities,",
            "[1]\n      inputs: [forest.probabilities] #",
            6,
            NODE + "scale",
            "no output",
        ),
    ],
)
def test_the_fault_is_named_with_line_and_field(old: str, new: str, line: int, field: str, says: str) -> None:
    assert old in VOTE
    with pytest.raises(DocumentError, match=r"service\.yaml") as caught:
        graph_from(VOTE.replace(old, new, 1))
    assert says in str(caught.value)
    assert (caught.value.line, caught.value.field) == (line, field)
    assert str(caught.value).startswith(f"service.yaml:{line}: {field}: ")
    graph_from(VOTE)


@pytest.mark.parametrize(
    ("more", "field", "says"),
    [
        ("replicas: {min: 1}", "replicas", "no node is placed as fanout"),
        ("placement: somewhere", "placement", "'auto', 'merged', 'fused' or 'fanout'"),
        ("limits: {max_wait_ms: -2}", "limits.max_wait_ms", "greater than or equal to 0"),
        ("limits: {batch_rows: 0}", "limits.batch_rows", "greater than or equal to 1"),
        ("limits: {deadline_ms: .inf}", "limits.deadline_ms", "finite"),
        ("limits: {deadline_ms: 0}", "limits.deadline_ms", "greater than 0"),
        ("limits: {max_queue: many}", "limits.max_queue", "integer"),
        ("slo: {p50_ms: 5}", "slo.p50_ms", "unknown key"),
        ("slo: {error_rate: 2}", "slo.error_rate", "less than or equal to 1"),
    ],
)
def test_settings_that_are_wrong(more: str, field: str, says: str) -> None:
    with pytest.raises(DocumentError, match=r"service\.yaml:22: ") as caught:
        graph_from(f"{VOTE}{more}\n")
    assert (caught.value.line, caught.value.field) == (22, field)
    assert says in str(caught.value)


def test_an_input_that_nobody_reads() -> None:
    text = VOTE.replace("  nodes:", "    spare: {datatype: FP32, shape: [-1]}\n  nodes:")
    with pytest.raises(DocumentError, match="no node reads this input") as caught:
        graph_from(text)
    assert (caught.value.line, caught.value.field) == (5, "graph.inputs.spare")


def test_missing_values_reach_only_models_that_take_them() -> None:
    text = VOTE.replace("shape: [-1, 64]}", "shape: [-1, 64], allow_missing: true}")
    with pytest.raises(DocumentError, match="does not take missing values"):
        graph_from(text)


def test_a_picture_must_fill_its_tensor() -> None:
    text = VOTE.replace("64]}", "64], picture: {height: 8, width: 8}}")
    assert graph_from(text).inputs[0].picture is not None
    with pytest.raises(DocumentError, match="does not fill shape"):
        graph_from(text.replace("width: 8", "width: 9"))


def test_members_of_different_shapes() -> None:
    text = VOTE.replace("digits-forest@1\n      inputs: {x: $in.image}", "iris-linear@1\n      inputs: {x: $in.four}")
    text = text.replace("  nodes:", "    four: {datatype: FP32, shape: [-1, 4]}\n  nodes:")
    with pytest.raises(DocumentError, match=r"shape \[-1, 10\] differs from the first member's \[-1, 3\]"):
        graph_from(text)


def test_faults_inside_an_ensemble_name_the_ensemble_and_the_line_that_uses_it() -> None:
    with pytest.raises(DocumentError, match=r"in the graph of digits-loop@1.*contains itself") as caught:
        graph_from(one_model("digits-loop@1"))
    assert caught.value.line == 4


def test_a_combiner_is_asked_for_its_opinion() -> None:
    def refuse(name: str, weights: tuple[float, ...] | None) -> None:
        raise Invalid(f"unknown {name!r} with {weights}")

    document = Document(VOTE, "service.yaml")
    with pytest.raises(DocumentError, match=r"unknown 'weighted' with \(0.6, 0.4\)") as caught:
        build_graph(load_service(document), lookup, document, refuse)
    assert (caught.value.line, caught.value.field) == (16, "graph.nodes.vote.combine")


def test_without_a_document_the_field_alone_is_named() -> None:
    spec = load_service(Document(VOTE.replace("scale.y", "scale.z"), "service.yaml"))
    with pytest.raises(Invalid) as caught:
        build_graph(spec, lookup)
    assert caught.value.field == "graph.nodes.linear.inputs.x"
