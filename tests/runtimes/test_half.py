"""Graphs in FP16: the same answers within what FP16 rounds, by numpy's own half precision; all else is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier

from aimass.core.batch import Array, Batch
from aimass.core.errors import Invalid
from aimass.core.signature import Datatype
from aimass.runtimes.conversion import to_onnx
from aimass.runtimes.half import LARGEST, TOLERANCE, check_half, to_half
from aimass.runtimes.onnx import MODEL_FILE, OnnxRuntime, open_session
from aimass.runtimes.onnx_signature import read_signature
from tests.runtimes.test_cuda import needs_gpu

GENERATOR = np.random.default_rng(3)
FIRST, SECOND = (GENERATOR.standard_normal(shape).astype(np.float32) / 4 for shape in ((16, 32), (32, 5)))


def network(first: Array = FIRST, second: Array = SECOND, middle: str = "Relu") -> bytes:
    """``scores`` = middle(x · first) · second, ``best`` = its largest column."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "first"], ["inner"]),
            helper.make_node(middle, ["inner"], ["active"]),
            helper.make_node("MatMul", ["active", "second"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        ],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 16])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 5]),
            helper.make_tensor_value_info("best", TensorProto.INT64, [None]),
        ],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())


def rows(count: int, scale: float = 1.0) -> list[Batch]:
    x = (np.random.default_rng(count).standard_normal((count, 16)) * scale).astype(np.float32)
    return [{"x": x[at : at + 8]} for at in range(0, count, 8)]


def test_the_outside_stays_and_the_weights_are_half_as_large() -> None:
    whole, half = network(), to_half(network())
    assert read_signature(open_session(half)) == read_signature(open_session(whole))
    kept = {item.name: item.data_type for item in onnx.load_model_from_string(half).graph.initializer}
    assert set(kept.values()) == {TensorProto.FLOAT16}
    assert (
        sum(item.nbytes for item in map(numpy_helper.to_array, onnx.load_model_from_string(half).graph.initializer))
        == (FIRST.nbytes + SECOND.nbytes) // 2
    )


def test_it_agrees_with_itself_and_with_numpys_half_precision() -> None:
    half = to_half(network())
    agreement = check_half(network(), half, rows(40))
    assert 0 < agreement.max_difference < TOLERANCE
    assert agreement.rows == 40
    x = rows(8)[0]["x"].astype(np.float16)
    by_hand = np.maximum(x @ FIRST.astype(np.float16), 0) @ SECOND.astype(np.float16)
    np.testing.assert_allclose(open_session(half).run(["scores"], rows(8)[0])[0], by_hand, atol=2e-2)


def test_a_network_of_scikit_learn_keeps_its_answers(tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    model = MLPClassifier((32,), max_iter=500, random_state=0).fit(x[:900] / 16, y[:900])
    whole = to_onnx(model, "x", 64)
    batches = [{"x": (x[900:1200] / 16).astype(np.float32)}]
    assert check_half(whole, to_half(whole), batches).label_mismatches == 0
    (tmp_path / MODEL_FILE).write_bytes(to_half(whole))
    signature = read_signature(open_session(whole))
    answer = OnnxRuntime.load(tmp_path, signature).predict(batches[0])
    np.testing.assert_allclose(answer["probabilities"], model.predict_proba(x[900:1200] / 16), atol=TOLERANCE)
    assert {spec.datatype for spec in signature.inputs} == {Datatype.FP32}


def test_what_a_device_would_make_infinite_is_refused_though_a_cpu_answers() -> None:
    """1e3 · 1e3 is beyond FP16; between operators the CPU keeps FP32, and its answer looks right."""
    large, small = np.full((16, 32), 1e3, np.float32), np.full((32, 5), 1e-3, np.float32)
    model = network(large, small)
    half = to_half(model)
    batch = {"x": np.full((4, 16), 10.0, np.float32)}
    looks_right, wanted = (open_session(item).run(["scores"], batch)[0] for item in (half, model))
    np.testing.assert_allclose(looks_right, wanted, rtol=1e-2)
    with pytest.raises(Invalid, match=r"'inner' reaches 1\.6e\+05 .* FP16 holds 65504"):
        check_half(model, half, [batch])
    with pytest.raises(Invalid, match="'x' reaches"):
        check_half(network(), to_half(network()), [{"x": np.full((1, 16), 2 * LARGEST, np.float32)}])


def test_what_differs_too_much_is_refused_with_figures() -> None:
    """The difference of two nearly equal columns is nothing but what FP16 rounds away."""
    near = FIRST.copy()
    near[:, 1] = near[:, 0] + 1e-4
    difference = np.zeros((32, 5), np.float32)
    difference[0, 0], difference[1, 0] = 1e4, -1e4
    model = network(near, difference, "Identity")
    with pytest.raises(Invalid, match=r"disagrees with itself on \d+ of 16 rows: worst difference .* tolerance 0\.01"):
        check_half(model, to_half(model), rows(16))


def test_labels_count_where_the_scores_are_clear() -> None:
    other = numpy_helper.from_array(SECOND[:, ::-1].copy(), "second")
    model = onnx.load_model_from_string(network())
    wrong = onnx.load_model_from_string(network())
    wrong.graph.initializer[1].CopyFrom(other)
    del model.graph.output[0], wrong.graph.output[0]  # labels alone: any difference counts
    with pytest.raises(Invalid, match=r"on 0 of 24 rows: .* [1-9]\d* labels differ"):
        check_half(model.SerializeToString(), wrong.SerializeToString(), rows(24))


def test_trees_gain_nothing() -> None:
    x, y = load_digits(return_X_y=True)
    forest = to_onnx(RandomForestClassifier(3, random_state=0).fit(x, y), "x", 64)
    with pytest.raises(Invalid, match="trees and scikit-learn's own operators stay in FP32"):
        to_half(forest)


def test_a_branch_inside_the_graph_keeps_its_place() -> None:
    """A sub-graph reads values of the graph around it; the casts must come before it."""
    then, other = (
        helper.make_graph(
            [helper.make_node(kind, ["inner"], [f"{kind}_out"])],
            kind,
            [],
            [helper.make_empty_tensor_value_info(f"{kind}_out")],
        )
        for kind in ("Relu", "Neg")
    )
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "first"], ["inner"]),
            helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
            helper.make_node("Greater", ["most", "zero"], ["positive"]),
            helper.make_node("If", ["positive"], ["y"], then_branch=then, else_branch=other),
        ],
        "branch",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 32])],
        [numpy_helper.from_array(FIRST, "first"), numpy_helper.from_array(np.float32(0), "zero")],
    )
    model: Any = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    assert check_half(model.SerializeToString(), to_half(model.SerializeToString()), rows(16)).rows == 16


class TestOnAGpu:
    pytestmark = needs_gpu

    def test_a_device_computes_fp16_within_the_tolerance(self, tmp_path: Path) -> None:
        (tmp_path / MODEL_FILE).write_bytes(to_half(network()))
        signature = read_signature(open_session(network()))
        runtime = OnnxRuntime.load(tmp_path, signature, 0.25)
        for batch in rows(64):
            wanted = open_session(network()).run(["scores"], batch)[0]
            scale = max(1.0, float(np.abs(wanted).max()))
            assert np.abs(runtime.predict(batch)["scores"] - wanted).max() / scale <= TOLERANCE
