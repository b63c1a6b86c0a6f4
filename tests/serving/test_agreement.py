"""Merged and fused give the same answers, on real models and on random graphs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from aimass.core.batch import Array, Batch
from aimass.core.events import Trace
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.graph.graph import Graph, ModelInfo
from aimass.serving.combining import make_combiner
from aimass.serving.layout import Layout
from aimass.serving.loader import LoadedPlan, load
from tests.serving.served_models import CLASSIFIER, ONE, VOTE, Shelf, digits, fitted, graph_from, layout_from, shelf

MEMBERS = VOTE.replace(
    "probabilities: vote.probabilities}",
    "probabilities: vote.probabilities, a: forest.probabilities, b: linear.probabilities, c: boosting.probabilities}",
)


def loaded(graph: Graph, plan: str, folder: Path, store: Shelf | None = None) -> LoadedPlan:
    """The graph under a plan, by the way that a replica goes: through JSON."""
    store = store or shelf()
    layout = layout_from(graph, plan, store)
    return load(Layout.from_json(layout.to_json()), lambda files: store.checkout(files, folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def plans(folder: Path) -> Mapping[str, LoadedPlan]:
    return {plan: loaded(graph_from(MEMBERS), plan, folder) for plan in ("merged", "fused")}


def held_out() -> Array:
    return digits()[0][900:]


def by_scikit_learn(rows: Array) -> Array:
    models = fitted()
    scaled = models["scale"].transform(rows)
    parts = [models["forest"].predict_proba(rows), models["linear"].predict_proba(scaled)]
    combined: Array = 0.5 * parts[0] + 0.3 * parts[1] + 0.2 * models["boosting"].predict_proba(rows)
    return combined


def test_both_agree_with_scikit_learn_on_held_out_rows(plans: Mapping[str, LoadedPlan]) -> None:
    wanted = by_scikit_learn(held_out())
    for plan in plans.values():
        answer = plan.run({"image": held_out()})
        assert np.abs(answer["probabilities"] - wanted).max() < 1e-4
        assert (answer["label"] == wanted.argmax(axis=1)).all()


def test_they_agree_on_thousands_of_rows(plans: Mapping[str, LoadedPlan]) -> None:
    generator = np.random.default_rng(7)
    rows = np.concatenate([digits()[0], generator.uniform(0, 16, (3000, 64)).astype(np.float32)])
    _check_equal(plans, {"image": rows})


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 130), scale=st.sampled_from([0.01, 1.0, 16.0, 1e4]))
def test_they_agree_on_random_rows(plans: Mapping[str, LoadedPlan], seed: int, rows: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    _check_equal(plans, {"image": (generator.standard_normal((rows, 64)) * scale).astype(np.float32)})


def test_the_combiner_gives_the_same_bits_in_every_plan(plans: Mapping[str, LoadedPlan]) -> None:
    for plan in plans.values():
        answer = plan.run({"image": held_out()})
        alone = make_combiner("weighted", (0.5, 0.3, 0.2)).combine([answer[name] for name in "abc"])
        assert alone.tobytes() == answer["probabilities"].tobytes()


def test_a_row_answers_the_same_alone_and_among_others(plans: Mapping[str, LoadedPlan]) -> None:
    together = plans["merged"].run({"image": held_out()})
    for index in (0, 17, 400):
        alone = plans["merged"].run({"image": held_out()[index : index + 1]})
        np.testing.assert_allclose(alone["probabilities"][0], together["probabilities"][index], atol=1e-6)


@pytest.mark.parametrize(
    ("classes", "datatype"),
    [(list(range(10, 20)), Datatype.INT64), ([f"ziffer-{n}ß" for n in range(10)], Datatype.BYTES)],
)
def test_classes_are_the_labels(folder: Path, classes: list[Any], datatype: Datatype) -> None:
    graph = graph_from(VOTE.replace("weights:", f"classes: {classes}\n      weights:"))
    assert {spec.name: spec.datatype for spec in graph.outputs}["label"] == datatype
    wanted = [classes[best] for best in by_scikit_learn(held_out()).argmax(axis=1)]
    for plan in ("merged", "fused"):
        assert loaded(graph, plan, folder).run({"image": held_out()})["label"].tolist() == wanted


def test_a_single_model_agrees_too(folder: Path) -> None:
    both = {plan: loaded(graph_from(ONE), plan, folder) for plan in ("merged", "fused")}
    _check_equal(both, {"image": held_out()})


def test_the_trace_times_the_nodes_of_a_fused_plan(plans: Mapping[str, LoadedPlan]) -> None:
    trace = Trace("r")
    plans["fused"].run({"image": held_out()[:3]}, trace)
    assert set(trace.node_s) == {"scale", "linear", "forest", "boosting", "vote"}
    assert all(seconds > 0 for seconds in trace.node_s.values())


PAIR = Signature(
    (TensorSpec("u", Datatype.FP32, (-1, 3)), TensorSpec("v", Datatype.FP32, (-1, 3))),
    (TensorSpec("probabilities", Datatype.FP32, (-1, 3)), TensorSpec("sum", Datatype.FP32, (-1, 3))),
)


def pair_model(seed: int) -> bytes:
    """Softmax of (u · W + v), and the sum before it, under names that several models share."""
    weights = np.random.default_rng(seed).standard_normal((3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["u", "W"], ["inner"]),
        helper.make_node("Add", ["inner", "v"], ["sum"]),
        helper.make_node("Softmax", ["sum"], ["probabilities"], axis=1),
    ]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("u", "v")]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("probabilities", "sum")]
    graph = helper.make_graph(nodes, "g", tensors, outputs, [numpy_helper.from_array(weights, "W")])
    opset = helper.make_opsetid("", 13 + seed % 9)  # parts of different operator sets
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=8 + seed % 3).SerializeToString())


@st.composite
def random_services(draw: st.DrawFn) -> str:
    """A service over a random DAG of models and combiners in which every node is used."""
    tensors, unused, nodes = ["$in.a", "$in.b"], {"$in.a", "$in.b"}, []
    for index in range(draw(st.integers(1, 6))):
        pick = st.sampled_from(tensors)
        chances = [tensor for tensor in tensors if tensor.endswith("probabilities")]
        if len(chances) > 1 and draw(st.booleans()):
            members = draw(st.lists(st.sampled_from(chances), min_size=1, max_size=4))
            weights = draw(st.lists(st.integers(1, 9), min_size=len(members), max_size=len(members)))
            how = f"combine: weighted, weights: {weights}" if draw(st.booleans()) else "combine: mean"
            nodes.append(f"    n{index}: {{{how}, inputs: [{', '.join(members)}]}}")
            unused -= set(members)
        else:
            u, v = draw(pick), draw(pick)
            nodes.append(f"    n{index}: {{model: pair@{draw(st.integers(0, 4))}, inputs: {{u: {u}, v: {v}}}}}")
            unused -= {u, v}
            tensors.append(f"n{index}.sum")
        tensors.append(f"n{index}.probabilities")
        unused.add(f"n{index}.probabilities")
    outputs = [name for name in sorted(unused) if not name.startswith("$in")]
    inputs = [name for name in ("a", "b") if f"$in.{name}" not in unused]
    lines = ["service: random", "graph:", "  inputs:"]
    lines += [f"    {name}: {{datatype: FP32, shape: [-1, 3]}}" for name in inputs]
    lines += ["  nodes:", *nodes, "  outputs:", *(f"    o{index}: {name}" for index, name in enumerate(outputs))]
    return "\n".join([*lines, f"    twice: {outputs[0]}"])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=random_services(), seed=st.integers(0, 1000))
def test_random_graphs_agree(folder: Path, text: str, seed: int) -> None:
    store = Shelf()
    models = {}
    for number in range(5):
        files = {"model.onnx": store.put(pair_model(number))}
        models[f"pair@{number}"] = ModelInfo(f"pair@{number}", "model", "onnx", files, PAIR)
    graph = graph_from(text, models)
    both = {plan: loaded(graph, plan, folder, store) for plan in ("merged", "fused")}
    generator = np.random.default_rng(seed)
    rows = {spec.name: generator.standard_normal((20, 3)).astype(np.float32) for spec in graph.inputs}
    _check_equal(both, rows)


def _check_equal(plans: Mapping[str, LoadedPlan], batch: Batch) -> None:
    answers = {name: plan.run(batch) for name, plan in plans.items()}
    merged, fused = answers["merged"], answers["fused"]
    assert list(merged) == list(fused) == [spec.name for spec in plans["fused"].signature.outputs]
    for name, wanted in fused.items():
        assert merged[name].dtype == wanted.dtype
        if wanted.dtype == np.float32:
            np.testing.assert_allclose(merged[name], wanted, atol=2e-6, rtol=1e-5)
    if "label" in fused:
        best = np.sort(fused["probabilities"], axis=1)
        clear = best[:, -1] - best[:, -2] > 4e-6
        assert (merged["label"] == fused["label"])[clear].all()


def test_the_signature_is_the_services(plans: Mapping[str, LoadedPlan]) -> None:
    for plan in plans.values():
        assert [spec.name for spec in plan.signature.inputs] == ["image"]
        assert plan.signature.outputs[:2] == CLASSIFIER.outputs
