"""Switches and cascades in one process: each row goes its own way, and nothing runs for no row."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.core.batch import Batch
from aimass.core.events import Trace
from aimass.core.signature import Datatype
from aimass.ensembling.cascades.confidence import confidence
from aimass.graph.graph import LABEL, MEMBER, PROBABILITIES, Graph
from aimass.serving.engine.choices import Switch
from aimass.serving.engine.counts import ROWS
from aimass.serving.engine.frames import Predict
from tests.serving.engine.engine_graphs import (
    Oracle,
    cascade,
    combine,
    graph,
    graphs,
    model,
    plan_of,
    predict,
    rows,
    switch,
)

Seen = dict[str, list[Batch]]


def _recording(seen: Seen) -> Any:
    def wrap(name: str, call: Predict) -> Predict:
        def recorded(batch: Batch) -> Batch:
            seen.setdefault(name, []).append(batch)
            return call(batch)

        return recorded

    return wrap


def _row_keys(batches: list[Batch]) -> list[bytes]:
    return [next(iter(batch.values()))[index].tobytes() for batch in batches for index in range(_count(batch))]


def _count(batch: Batch) -> int:
    return len(next(iter(batch.values())))


@settings(max_examples=100, deadline=None)
@given(graphs(), st.integers(1, 12), st.integers(0, 10_000))
def test_rows_get_what_each_would_get_alone(found: Graph, count: int, seed: int) -> None:
    seen: Seen = {}
    plan = plan_of(found, _recording(seen))
    batch = rows(count, seed)
    seen.clear()
    answer = plan.run(batch)
    needed: dict[str, int] = {}
    for row in range(count):
        oracle = Oracle(found, batch, row)
        for source in found.sources:
            expected = oracle.give(source)
            assert expected is not None
            np.testing.assert_allclose(answer[source.tensor][row], expected[0], rtol=1e-5)
        for name in oracle.ran:
            needed[name] = needed.get(name, 0) + 1
    for name, batches in seen.items():
        assert all(_count(one) > 0 for one in batches), f"{name} ran for no row"
        assert len(batches) == 1, f"{name} ran twice"
        assert _count(batches[0]) >= needed.get(name, 0)
    assert needed.keys() <= seen.keys()


def _gated(**more: Any) -> Graph:
    nodes = [model("small", "x"), model("mid", "small"), model("big", "mid", "x")]
    return graph(*nodes, cascade("gate", "small", "mid", "big", **more), outputs=(LABEL, PROBABILITIES, MEMBER))


def test_a_cascade_asks_the_next_member_for_the_unsure_rows_only() -> None:
    seen: Seen = {}
    plan = plan_of(_gated(thresholds=(0.7, 0.6), classes=(7, 8, 9)), _recording(seen))
    batch = rows(200)
    seen.clear()
    answer = plan.run(batch)
    small = predict("small")({"0": batch["x"]})[PROBABILITIES]
    mid = predict("mid")({"0": small})[PROBABILITIES]
    unsure = small.max(axis=1) < 0.7
    still = unsure & (mid.max(axis=1) < 0.6)
    assert 0 < still.sum() < unsure.sum() < 200
    assert [_count(seen[name][0]) for name in ("small", "mid", "big")] == [200, unsure.sum(), still.sum()]
    assert (answer[MEMBER] == unsure.astype(int) + still.astype(int)).all()
    assert answer[PROBABILITIES][~unsure].tobytes() == small[~unsure].tobytes()
    assert (answer[LABEL] == np.array([7, 8, 9])[answer[PROBABILITIES].argmax(axis=1)]).all()
    assert {name: array.dtype for name, array in answer.items()} == {
        LABEL: np.int64,
        PROBABILITIES: np.float32,
        MEMBER: np.int64,
    }
    assert dict(plan.counts.totals()) == {
        (ROWS, "gate", "0"): 200 - unsure.sum(),
        (ROWS, "gate", "1"): unsure.sum() - still.sum(),
        (ROWS, "gate", "2"): still.sum(),
    }


def test_sure_rows_run_nothing_more_and_are_not_copied() -> None:
    seen: Seen = {}
    plan = plan_of(_gated(thresholds=(0.0, 0.0)), _recording(seen))
    seen.clear()
    answer = plan.run(rows(5))
    assert seen.keys() == {"small"}
    assert answer[MEMBER].tolist() == [0] * 5


def test_a_confidence_that_is_no_number_goes_on() -> None:
    plan = plan_of(_gated(thresholds=(0.1, 0.1)))
    batch = rows(3)
    batch["x"][1] = np.nan
    with np.errstate(all="ignore"):
        assert plan.run(batch)[MEMBER].tolist() == [0, 2, 0]


def test_confidence_is_temperature_scaling() -> None:
    logits = np.random.default_rng(1).normal(size=(50, 4)) * 3
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for heat in (0.5, 1.0, 2.5):
        scaled = np.exp(logits / heat)  # Guo et al.: softmax of the logits divided by the temperature
        expected = (scaled / scaled.sum(axis=1, keepdims=True)).max(axis=1)
        np.testing.assert_allclose(confidence(chances.astype(np.float32), heat), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("datatype", "cases", "selector", "picks"),
    [
        (Datatype.INT8, ("-1", "3"), np.array([3, -1, 0], np.int8), [1, 0, 2]),
        (Datatype.UINT64, ("18446744073709551615",), np.array([[2**64 - 1], [1]], np.uint64), [0, 1]),
        (Datatype.BOOL, ("true",), np.array([True, False]), [0, 1]),
        (Datatype.BYTES, ("dé", "else?"), np.array(["else?", "dé".encode(), "x"], object), [1, 0, 2]),
    ],
)
def test_a_selector_is_compared_as_its_datatype(
    datatype: Datatype, cases: tuple[str, ...], selector: Any, picks: list[int]
) -> None:
    assert Switch(cases, datatype, 0, []).picks(selector) == picks


def test_a_switch_keeps_what_is_needed_elsewhere_for_all_rows() -> None:
    seen: Seen = {}
    nodes = [model("a", "x"), model("b", "x"), switch("s", {"0": "a", "1": "b", "else": "x"}), combine("c", "s", "a")]
    plan = plan_of(graph(*nodes), _recording(seen))
    seen.clear()
    batch = rows(40)
    plan.run(batch)
    assert [_count(one) for one in seen["a"]] == [40]
    assert [_count(one) for one in seen["b"]] == [(batch["kind"] == 1).sum()]


def test_times_of_branches_are_their_own() -> None:
    nodes = [model("a", "x"), model("b", "a"), switch("s", {"0": "b", "else": "x"})]
    trace = Trace("r")
    batch = rows(30)
    plan = plan_of(graph(*nodes))
    plan.run(batch, trace)
    assert trace.node_s.keys() == {"a", "b", "s"}
    assert all(seconds > 0 for seconds in trace.node_s.values())
    batch["kind"][:] = 3
    idle = Trace("r")
    plan.run(batch, idle)
    assert idle.node_s.keys() == {"s"}


def test_counts_of_a_plan_begin_with_its_first_call_and_outlive_its_unloading() -> None:
    plan = plan_of(graph(model("a", "x"), switch("s", {"0": "a", "else": "x"})))
    assert not dict(plan.counts.totals())
    plan.run(rows(10))
    before = dict(plan.counts.totals())
    assert sum(before.values()) == 10
    again = plan_of(graph(model("a", "x"), switch("s", {"0": "a", "else": "x"})))
    again.counts.go_on_from(plan.counts)
    again.run(rows(10))
    assert dict(again.counts.totals()) == {event: 2 * times for event, times in before.items()}
