"""A revision run once more outside its replicas gives the same answer, and every node's own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimass.graph.graph import Graph
from aimass.serving.engine.rerun import NodeRun, rerun
from aimass.serving.loader import load
from aimass.serving.plans.fused import compile_fused
from tests.serving import random_graphs
from tests.serving.random_graphs import check_answer, expected, random_batch, services

TWO_WITH_POLICIES = """\
service: random
graph:
  inputs: {a: {datatype: FP32, shape: [-1, 3]}}
  nodes:
    spare: {model: one@3, inputs: {x: $in.a}}
    small: {model: one@0, inputs: {x: $in.a}, deadline_ms: 5, retries: 1}
    big: {model: one@1, inputs: {x: $in.a}, fallback: spare, required: false, placement: fanout}
    gate: {cascade: [small.probabilities, big.probabilities], threshold: 0.6}
    both: {combine: mean, inputs: [small.probabilities, gate.probabilities], quorum: 1}
  outputs: {label: both.label, probabilities: both.probabilities, first: small.y}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(services(most=8), st.integers(1, 5), st.integers(0, 2**16))
def test_it_answers_as_the_plan_does_and_as_the_definition_says(folder: Path, text: str, rows: int, seed: int) -> None:
    graph = random_graphs.graph_of(text)
    batch = random_batch(graph, rows, seed)
    found = rerun(graph, lambda files: random_graphs.shelf().checkout(files, folder), batch)
    plan = load(compile_fused(graph), lambda files: random_graphs.shelf().checkout(files, folder))
    for name, array in plan.run(batch).items():
        assert found.outputs[name].dtype == array.dtype
        assert found.outputs[name].tobytes() == array.tobytes(), name
    check_answer(graph, found.outputs, expected(graph, batch))
    _check_nodes(graph, found.nodes, rows)


def _check_nodes(graph: Graph, nodes: Sequence[NodeRun], rows: int) -> None:
    names = [run.name for run in nodes]
    assert len(set(names)) == len(names)
    known = {node.name: {spec.name for spec in node.signature.outputs} for node in graph.nodes}
    for run in nodes:
        assert run.outputs.keys() <= known[run.name] and run.seconds >= 0
        assert 0 <= run.rows <= rows


def test_policies_and_places_are_left_out(folder: Path) -> None:
    graph = random_graphs.graph_of(TWO_WITH_POLICIES)
    batch = {"a": np.random.default_rng(3).standard_normal((6, 3)).astype(np.float32)}
    found = rerun(graph, lambda files: random_graphs.shelf().checkout(files, folder), batch)
    check_answer(graph, found.outputs, expected(graph, batch))
    runs = {run.name: run for run in found.nodes}
    assert runs["small"].rows == 6 and runs["gate"].rows == 6
    member = runs["gate"].outputs.get("member")
    sure = runs["small"].outputs["probabilities"].max(axis=1) >= 0.6
    assert member is None or (member == ~sure).all()
    assert runs["big"].rows == (~sure).sum(), "a member of a cascade sees the rows that come to it"
    assert sorted(runs) == ["big", "both", "gate", "small"]
