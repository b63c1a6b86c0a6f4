"""The planner's arithmetic by hand, its choice, and what placing a service really compiles."""

from dataclasses import replace
from typing import Any

import pytest

from aimass.core.errors import Invalid
from aimass.core.ids import Digest
from aimass.graph.graph import Graph
from aimass.graph.spec import LimitsSpec, SloSpec
from aimass.serving.placement import place
from aimass.serving.planner.demand import Demand
from aimass.serving.planner.explanation import Alternative, Explanation, explain
from aimass.serving.planner.machine import Costs, Load, Machine
from aimass.serving.planner.prediction import Figures, UnderLoad
from tests.serving.served_models import ONE, VOTE, FlatProfile, Shelf, graph_from, shelf

COSTS = Costs(
    door_p50_us=100,
    door_p95_us=200,
    door_core_us=50,
    hop_p50_us=1000,
    hop_more_us=0,
    hop_p95_us=2000,
    hop_core_us=300,
    hop_node_core_us=400,
    hop_mib_us=0,
    step_us=1,
    flow_us=60,
    flow_step_us=10,
    session_us=4,
    lone_session_us=4,
    combine_us=5,
    lone_combine_us=5,
    merged_combine_us=2,
    session_bytes=10,
    replica_bytes=1_000_000,
)
MACHINE = Machine(COSTS, "by hand", cores=4)


def graph_of_profiles() -> Graph:
    """Four sessions (6.1 µs and 2,000,000 bytes each) and one combiner."""
    graph = graph_from(VOTE)
    assert set(graph.profiles) == {"scale@1", "linear@1", "forest@1", "boosting@1"}
    return graph


def explained(graph: Graph | None = None, refused: dict[str, str] | None = None, **asked: Any) -> Explanation:
    return explain(graph or graph_of_profiles(), Demand(**{"machine": MACHINE, **asked}), refused)


def of(explanation: Explanation, name: str) -> Alternative:
    return next(item for item in explanation.alternatives if item.name == name)


def figures(explanation: Explanation, name: str) -> Figures:
    found = of(explanation, name).figures
    assert found is not None
    return found


def test_the_figures_of_merged_and_fused_are_the_arithmetic() -> None:
    explanation = explained()
    merged, fused = figures(explanation, "merged"), figures(explanation, "fused")
    assert merged.p50_us == round(100 + 4 * 6.1 + 2 - 3 * 4, 1)
    assert merged.p95_us == round(200 + 4 * 12.2 + 2 - 3 * 4, 1)
    assert merged.memory_bytes == merged.gateway_bytes == 4 * 2_000_000 - 3 * 10
    assert merged.core_s_per_1000 == round((50 + 4 * 6.1 + 2 - 3 * 4) / 1000, 5)
    assert fused.p50_us == round(100 + 4 * 6.1 + 5 * 1 + 5, 1)
    assert fused.memory_bytes == 8_000_000
    assert (explanation.chosen, explanation.why) == ("merged", "the least core time per call")
    assert explanation.costs == "by hand"


def test_the_figures_of_fanout_are_the_arithmetic() -> None:
    fanout = figures(explained(), "fanout")
    step = 60 + 5 * 10
    send = receive = 300 / 2  # on the one event loop
    away = 400 + 6.1 + (1000 - 300 - 400)  # on a core, and on the way
    scale = 3 * send + away + receive  # sent after boosting and forest, and the last to come back
    chain = scale + send + away + receive + 5  # then linear, then the vote
    assert fanout.p50_us == round(100 + step + chain, 1)
    assert fanout.core_s_per_1000 == round((50 + step + 5 + 4 * (300 + 400 + 6.1)) / 1000, 5)
    assert (fanout.gateway_bytes, fanout.nodes_bytes) == (0, 4 * 3_000_000)


def test_each_replica_more_makes_every_hop_longer() -> None:
    costs = replace(MACHINE.costs, hop_more_us=100)
    longer = figures(explained(machine=replace(MACHINE, costs=costs)), "fanout")
    assert longer.p50_us == round(figures(explained(), "fanout").p50_us + 2 * 3 * 100, 1)  # four are away, two in line
    assert [costs.more_us(away) for away in (0, 1, 2, 4, 9)] == [0, 0, 100, 300, 300]


def test_members_that_are_elsewhere_share_the_cores() -> None:
    slow = {ref: FlatProfile(9_000, 0, 1) for ref in graph_of_profiles().profiles}
    graph = replace(graph_of_profiles(), profiles=slow)
    around = 100 + 60 + 5 * 10 + 5
    many, one = (figures(explained(graph, machine=replace(MACHINE, cores=cores)), "fanout").p50_us for cores in (4, 1))
    assert many == around + 2 * (1000 + 9_000) + 2 * 150  # two sends before the one of scale
    assert one > around + 4 * (9_000 + 400)


def test_a_single_session_costs_the_same_but_for_the_steps() -> None:
    machine = replace(MACHINE, costs=replace(COSTS, session_us=0, lone_session_us=0))
    found = explained(graph_from(ONE), machine=machine)
    assert figures(found, "fused").p50_us == pytest.approx(figures(found, "merged").p50_us + 2 * COSTS.step_us)


CASCADE = """\
service: gate
graph:
  inputs: {image: {datatype: FP32, shape: [-1, 64]}}
  nodes:
    linear: {model: linear@1, inputs: {x: $in.image}}
    forest: {model: forest@1, inputs: {x: $in.image}}
    gate: {cascade: [linear.probabilities, forest.probabilities], threshold: 0.9}
  outputs: {label: gate.label}
"""


def test_what_runs_lazily_counts_by_its_chance() -> None:
    graph = replace(
        graph_from(CASCADE), profiles={"linear@1": FlatProfile(10, 0, 1), "forest@1": FlatProfile(900, 0, 1)}
    )
    found = explained(graph, shares={("gate", "1"): 0.25})
    around = 100 + 3 * 1 + COSTS.lone_choose_us
    assert figures(found, "fused").p50_us == around + 10 + 0.25 * 900
    assert figures(found, "merged").p50_us == 100 + 910 + 2 - 4
    assert found.chosen == "fused"
    assert explained(graph, shares={("gate", "1"): 1.0}).chosen == "merged"
    two = explained(graph, shares={("gate", "1"): 0.25}, load=Load(rows=2))
    assert figures(two, "fused").p50_us == around + 10 + round((1 - 0.75**2) * 900, 1)


def test_the_service_may_ask_for_a_plan() -> None:
    explanation = explained(placement="fused")
    assert (explanation.chosen, explanation.why) == ("fused", "the service asks for it")


def test_what_cannot_be_merged_is_fused_and_the_reason_given() -> None:
    mixed = {item.name: "operator sets differ" for item in explained().alternatives if "mixed" in item.name}
    explanation = explained(refused={"merged": "operator sets differ", **mixed})
    assert not of(explanation, "merged").possible
    assert explanation.chosen == "fused"
    asked = explained(refused={"merged": "operator sets differ"}, placement="merged")
    assert (asked.chosen, asked.why) == ("", "merged: operator sets differ")


def test_a_node_that_says_where_it_runs_is_there_in_whatever_is_chosen() -> None:
    graph = graph_from(VOTE.replace("forest@1,", "forest@1, placement: fanout,"))
    for placement in ("auto", "fused", "merged", "fanout"):
        explanation = explained(graph, placement=placement)
        chosen = explanation.alternative
        assert chosen is not None
        assert chosen.placements["forest"] == "fanout"
        assert of(explanation, "merged").reason == "node 'forest' is placed as fanout by the service"
    assert explained(graph, placement="fanout").chosen == "fanout"
    merged = explained(graph, placement="merged").alternative
    assert merged is not None
    assert merged.what == "boosting, scale, linear, vote merged; forest fanout"


def test_a_deadline_that_no_plan_meets() -> None:
    explanation = explained(limits=LimitsSpec(deadline_ms=0.12))
    assert of(explanation, "merged").possible
    assert not of(explanation, "fused").possible
    assert "deadline of 0.12 ms" in of(explanation, "fused").reason
    nothing = explained(limits=LimitsSpec(deadline_ms=0.1))
    assert nothing.chosen == ""
    assert nothing.why.count("would miss the deadline") == 1, "a reason is said once, after all whom it speaks against"
    assert "merged, fused" in nothing.why


def test_an_slo_that_a_plan_misses_is_said_and_counts() -> None:
    explanation = explained(slo=SloSpec(p95_ms=0.25))
    assert of(explanation, "merged").reason == ""
    assert of(explanation, "fused").reason == "predicted p95 is above the SLO of 0.25 ms"
    assert of(explanation, "fused").possible
    assert "the lowest predicted p95, though: predicted p95 is above" in explained(slo=SloSpec(p95_ms=0.1)).why


def test_a_heavy_member_goes_elsewhere_when_only_beside_the_other_it_keeps_the_slo() -> None:
    slow = {"scale@1": 10, "linear@1": 8_000, "forest@1": 8_000, "boosting@1": 10}
    profiles = {ref: FlatProfile(call_us, 0, 1) for ref, call_us in slow.items()}
    graph = replace(graph_of_profiles(), profiles=profiles)
    assert explained(graph).chosen == "merged"
    explanation = explained(graph, slo=SloSpec(p95_ms=22))
    chosen = explanation.alternative
    assert chosen is not None
    assert [name for name, plan in chosen.placements.items() if plan == "fanout"] == ["forest"]
    assert explanation.why == "the least core time per call among those that keep the SLO and carry the load"


def under_load(explanation: Explanation, name: str) -> UnderLoad:
    load = figures(explanation, name).load
    assert load is not None
    return load


def test_under_load_calls_wait_and_what_is_full_is_named() -> None:
    graph = replace(
        graph_of_profiles(), profiles={ref: FlatProfile(100, 100, 1) for ref in graph_of_profiles().profiles}
    )
    calm, busy = (explained(graph, load=Load(rps)) for rps in (1.0, 900.0))
    for name in ("merged", "fused"):
        alone, quiet, loaded = figures(calm, name), under_load(calm, name), under_load(busy, name)
        assert quiet.p50_us == pytest.approx(alone.p50_us, rel=0.01)
        assert loaded.busiest == "gateway"
        assert (loaded.waiting_us or 0) > 10 * (quiet.waiting_us or 0)
        assert loaded.core_s_per_1000 <= quiet.core_s_per_1000
    flood = explained(graph, load=Load(1e6))
    assert under_load(flood, "fused").p50_us is None
    assert "calls a second at most (gateway is full)" in of(flood, "fused").reason
    assert flood.why.startswith("the most calls a second, though: carries")
    assert figures(flood, "merged").rps == pytest.approx(figures(calm, "merged").rps)


def test_more_replicas_of_a_full_node_carry_more() -> None:
    text = VOTE.replace("forest@1,", "forest@1, placement: fanout, replicas: {min: 1, max: 3},")
    profiles = {ref: FlatProfile(10, 0, 1) for ref in graph_of_profiles().profiles} | {
        "forest@1": FlatProfile(0, 900, 1)
    }
    three = replace(graph_from(text), profiles=profiles)
    one = replace(graph_from(text.replace("max: 3", "max: 1")), profiles=profiles)
    machine = replace(MACHINE, cores=64)
    small = figures(explained(one, machine=machine, placement="fused"), "mixed 1")
    large = figures(explained(three, machine=machine, placement="fused"), "mixed 1")
    assert small.rps == pytest.approx(1e6 / (900 + 400 / 64), rel=0.01)  # 64 calls share what a hop costs
    assert large.rps == pytest.approx(3 * small.rps, rel=0.01)
    assert large.nodes_bytes == 3 * small.nodes_bytes


def test_what_the_machine_lacks_is_refused() -> None:
    small = explained(machine=replace(MACHINE, memory_bytes=9_000_000))
    assert of(small, "merged").possible
    assert of(small, "fanout").reason == "needs 11 MiB with all its replicas; 9 MiB are available"
    text = VOTE.replace("forest@1,", "forest@1, placement: fanout, gpus: 0.5,")
    none = explained(graph_from(text), machine=replace(MACHINE, gpus=0))
    assert none.chosen == ""
    assert "needs 1 GPU(s) for all its replicas; this machine has 0" in none.why
    assert explained(graph_from(text), machine=replace(MACHINE, gpus=1)).chosen


def test_without_profiles_nothing_is_predicted() -> None:
    graph = replace(graph_of_profiles(), profiles={"scale@1": FlatProfile(1, 1, 1)})
    explanation = explained(graph)
    assert all(item.figures is None for item in explanation.alternatives)
    assert explanation.chosen == "merged"


def test_it_explains_itself_in_json() -> None:
    data = explained(load=Load(100)).to_json()
    assert [item["name"] for item in data["alternatives"]][:3] == ["merged", "fused", "fanout"]
    assert data["chosen"] == "merged"
    assert data["alternatives"][0]["figures"]["load"]["rps"] == 100


def placed(graph: Graph, placement: str, store: Shelf) -> Any:
    return place(graph, Demand(placement, machine=MACHINE), shelf().read, store.put)


def test_placing_compiles_what_was_chosen() -> None:
    store = Shelf()
    found = placed(graph_from(VOTE), "auto", store)
    assert found.layout.plan == "merged"
    assert found.layout.digests == set(store.data)


def test_placing_fused_stores_nothing() -> None:
    store = Shelf()
    assert placed(graph_from(VOTE), "fused", store).layout.plan == "fused"
    assert not store.data


def test_placing_a_mixture_stores_its_groups_alone() -> None:
    store = Shelf()
    found = placed(graph_from(VOTE.replace("forest@1,", "forest@1, placement: fanout,")), "merged", store)
    assert found.layout.plan == "mixed"
    assert len(store.data) == 1
    assert set(store.data) < found.layout.digests


def test_a_model_that_cannot_be_merged_is_placed_fused() -> None:
    graph = graph_from(ONE)
    nodes = (replace(graph.nodes[0], runtime="torch"), *graph.nodes[1:])
    found = placed(replace(graph, nodes=nodes), "auto", shelf())
    assert found.layout.plan == "fused"
    assert found.explanation.alternatives[0].reason == "node 'scale' (scale@1) runs by 'torch', not by onnx"
    assert placed(replace(graph, nodes=nodes), "merged", shelf()).layout is None


def test_a_corrupted_artifact_is_refused_whatever_the_plan() -> None:
    def corrupted(digest: Digest) -> bytes:
        raise Invalid(f"artifact {digest} is corrupted")

    for placement in ("auto", "merged", "fused", "fanout"):
        with pytest.raises(Invalid, match="is corrupted"):
            place(graph_from(VOTE), Demand(placement), corrupted, Shelf().put)


def test_a_combiner_that_does_not_exist_is_refused_whatever_the_plan() -> None:
    graph = graph_from(VOTE)
    nodes = (*graph.nodes[:-1], replace(graph.nodes[-1], combine="sum"))
    with pytest.raises(Invalid, match="unknown 'sum'") as caught:
        place(replace(graph, nodes=nodes), Demand(), shelf().read, shelf().put)
    assert caught.value.field == "graph.nodes.vote.combine"


def test_latency_is_of_lone_calls_and_throughput_of_crowded_ones() -> None:
    """What a lone call pays beside its versions: more for a combiner, less where sessions are merged."""
    costs = replace(COSTS, lone_session_us=5, lone_combine_us=35)
    hot, cold = (
        explain(graph_of_profiles(), Demand("auto", machine=replace(MACHINE, costs=c))) for c in (COSTS, costs)
    )
    assert figures(cold, "fused").p50_us == pytest.approx(figures(hot, "fused").p50_us + 30)
    assert figures(cold, "merged").p50_us == pytest.approx(figures(hot, "merged").p50_us - 3 * 1)
    for plan in ("fused", "merged"):
        assert figures(cold, plan).rps == figures(hot, plan).rps
