"""The planner's arithmetic by hand, its choice, and what placing a service really compiles."""

from dataclasses import replace

import pytest

from aimass.core.errors import Invalid
from aimass.core.ids import Digest
from aimass.graph.graph import Graph
from aimass.graph.spec import LimitsSpec, SloSpec
from aimass.serving.placement import place
from aimass.serving.planner import Costs, explain
from tests.serving.served_models import ONE, VOTE, FlatProfile, Shelf, graph_from, shelf

COSTS = Costs(
    door_p50_us=100,
    door_p95_us=200,
    door_core_us=50,
    step_us=1,
    session_us=4,
    combine_us=5,
    merged_combine_us=2,
    session_bytes=10,
)
LIMITS, SLO = LimitsSpec(), SloSpec()


def graph_of_profiles() -> Graph:
    """Four sessions (6.1 µs and 2,000,000 bytes each) and one combiner."""
    graph = graph_from(VOTE)
    assert set(graph.profiles) == {"scale@1", "linear@1", "forest@1", "boosting@1"}
    return graph


def test_the_figures_are_the_arithmetic() -> None:
    explanation = explain(graph_of_profiles(), LIMITS, SLO, costs=COSTS)
    merged, fused = explanation.alternatives
    assert (merged.plan, fused.plan) == ("merged", "fused")
    assert merged.p50_us == round(100 + 4 * 6.1 + 2 - 3 * 4, 1)
    assert merged.p95_us == round(200 + 4 * 12.2 + 2 - 3 * 4, 1)
    assert merged.memory_bytes == 4 * 2_000_000 - 3 * 10
    assert merged.core_s_per_1000 == round((50 + 4 * 6.1 + 2 - 3 * 4) / 1000, 5)
    assert fused.p50_us == round(100 + 4 * 6.1 + 5 * 1 + 5, 1)
    assert fused.memory_bytes == 8_000_000
    assert (explanation.chosen, explanation.why) == ("merged", "the least core time per call")


def test_a_single_session_costs_the_same_but_for_the_steps() -> None:
    merged, fused = explain(graph_from(ONE), LIMITS, SLO, costs=replace(COSTS, session_us=0)).alternatives
    assert fused.p50_us == pytest.approx((merged.p50_us or 0) + 2 * COSTS.step_us)


def test_the_service_may_ask_for_a_plan() -> None:
    explanation = explain(graph_of_profiles(), LIMITS, SLO, "fused", costs=COSTS)
    assert (explanation.chosen, explanation.why) == ("fused", "the service asks for it")


def test_what_cannot_be_merged_is_fused_and_the_reason_given() -> None:
    explanation = explain(graph_of_profiles(), LIMITS, SLO, unmergeable="operator sets differ", costs=COSTS)
    assert not explanation.alternatives[0].possible
    assert explanation.chosen == "fused"
    assert "merged: operator sets differ" in explanation.why
    asked = explain(graph_of_profiles(), LIMITS, SLO, "merged", "operator sets differ", COSTS)
    assert (asked.chosen, asked.why) == ("", "merged: operator sets differ")


def test_a_deadline_that_no_plan_meets() -> None:
    explanation = explain(graph_of_profiles(), LimitsSpec(deadline_ms=0.12), SLO, costs=COSTS)
    merged, fused = explanation.alternatives
    assert merged.possible
    assert not fused.possible
    assert "deadline of 0.12 ms" in fused.reason
    assert explain(graph_of_profiles(), LimitsSpec(deadline_ms=0.1), SLO, costs=COSTS).chosen == ""


def test_an_slo_that_a_plan_misses_is_said_and_counts() -> None:
    explanation = explain(graph_of_profiles(), LIMITS, SloSpec(p95_ms=0.25), costs=COSTS)
    merged, fused = explanation.alternatives
    assert merged.reason == ""
    assert fused.reason == "predicted p95 is above the SLO of 0.25 ms"
    assert fused.possible
    assert "though its predicted p95" in explain(graph_of_profiles(), LIMITS, SloSpec(p95_ms=0.1), costs=COSTS).why


def test_without_profiles_nothing_is_predicted() -> None:
    graph = replace(graph_of_profiles(), profiles={"scale@1": FlatProfile(1, 1, 1)})
    explanation = explain(graph, LIMITS, SLO)
    assert all(item.p50_us is item.p95_us is item.memory_bytes is None for item in explanation.alternatives)
    assert explanation.chosen == "merged"


def test_it_explains_itself_in_json() -> None:
    data = explain(graph_of_profiles(), LIMITS, SLO).to_json()
    assert [item["plan"] for item in data["alternatives"]] == ["merged", "fused"]
    assert data["chosen"] == "merged"


def test_placing_compiles_what_was_chosen() -> None:
    store = Shelf()
    placed = place(graph_from(VOTE), "auto", LIMITS, SLO, shelf().read, store.put)
    assert placed.layout is not None
    assert placed.layout.plan == "merged"
    assert placed.layout.digests == set(store.data)


def test_placing_fused_stores_nothing() -> None:
    store = Shelf()
    placed = place(graph_from(VOTE), "fused", LIMITS, SLO, shelf().read, store.put)
    assert placed.layout is not None
    assert placed.layout.plan == "fused"
    assert not store.data


def test_a_model_that_cannot_be_merged_is_placed_fused() -> None:
    graph = graph_from(ONE)
    nodes = (replace(graph.nodes[0], runtime="torch"), *graph.nodes[1:])
    placed = place(replace(graph, nodes=nodes), "auto", LIMITS, SLO, shelf().read, shelf().put)
    assert placed.layout is not None
    assert placed.layout.plan == "fused"
    assert placed.explanation.alternatives[0].reason == "node 'scale' (scale@1) runs by 'torch', not by onnx"
    asked = place(replace(graph, nodes=nodes), "merged", LIMITS, SLO, shelf().read, shelf().put)
    assert asked.layout is None


def test_a_corrupted_artifact_is_refused_whatever_the_plan() -> None:
    def corrupted(digest: Digest) -> bytes:
        raise Invalid(f"artifact {digest} is corrupted")

    for placement in ("auto", "merged", "fused"):
        with pytest.raises(Invalid, match="is corrupted"):
            place(graph_from(VOTE), placement, LIMITS, SLO, corrupted, Shelf().put)


def test_a_combiner_that_does_not_exist_is_refused_whatever_the_plan() -> None:
    graph = graph_from(VOTE)
    nodes = (*graph.nodes[:-1], replace(graph.nodes[-1], combine="sum"))
    with pytest.raises(Invalid, match="unknown 'sum'") as caught:
        place(replace(graph, nodes=nodes), "auto", LIMITS, SLO, shelf().read, shelf().put)
    assert caught.value.field == "graph.nodes.vote.combine"
