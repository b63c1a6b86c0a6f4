"""Merged and fused give the same answers, on real models and on random graphs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimass.core.batch import Array, Batch
from aimass.core.events import Trace
from aimass.core.signature import Datatype
from aimass.graph.graph import Graph
from aimass.serving.combining import make_combiner
from aimass.serving.layout import Layout
from aimass.serving.loader import LoadedPlan, load
from tests.serving import random_graphs
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


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=random_graphs.services(), rows=st.integers(1, 40), seed=st.integers(0, 1000))
def test_random_graphs_answer_what_the_definition_gives(folder: Path, text: str, rows: int, seed: int) -> None:
    graph = random_graphs.graph_of(text)
    batch = random_graphs.random_batch(graph, rows, seed)
    wanted = random_graphs.expected(graph, batch)
    for plan in ("merged", "fused"):
        answer = loaded(graph, plan, folder, random_graphs.shelf()).run(batch)
        random_graphs.check_answer(graph, answer, wanted)


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
