"""Every placement of nodes that can be gives the fused answer; those that cannot be are refused and say why."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from aimass.core.errors import Invalid
from aimass.core.policies import NodeScale
from aimass.graph.graph import Graph
from aimass.serving.layout import Layout
from aimass.serving.plans import fanout, fused, merged
from aimass.serving.plans.mixed import compile_placements, merged_groups
from aimass.serving.plans.placements import FANOUT, FUSED, MERGED, Placements, plan_name, uniform, why_not
from tests.serving import random_graphs
from tests.serving.in_process import Running
from tests.serving.served_models import VOTE, Shelf, graph_from, shelf


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def compiled(graph: Graph, placements: Placements, store: Shelf | None = None) -> Layout:
    store = store or shelf()
    return compile_placements(graph, placements, store.read, store.put)


def placed(text: str = VOTE, **asked: str) -> tuple[Graph, dict[str, str]]:
    """The graph of ``text``, all fused but for what is asked."""
    graph = graph_from(text)
    return graph, {**uniform(graph, FUSED), **asked}


@st.composite
def placements_of(draw: st.DrawFn, graph: Graph) -> dict[str, str]:
    """One that can be; mostly merged, for that is where things can go wrong."""
    found = uniform(graph, FUSED)
    for node in graph.nodes:
        plans = [MERGED, MERGED, FUSED, FANOUT] if node.ref else [MERGED, MERGED, FUSED]
        tried = found | {node.name: draw(st.sampled_from(plans))}
        found = tried if not why_not(graph, tried) else found
    for node in reversed(graph.nodes):  # choosers come after what they choose between
        tried = found | {node.name: MERGED}
        if draw(st.booleans()) and not why_not(graph, tried):
            found = tried
    return found


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=random_graphs.services(), rows=st.integers(1, 30), seed=st.integers(0, 1000), data=st.data())
def test_every_placement_answers_what_the_definition_gives(
    folder: Path, text: str, rows: int, seed: int, data: st.DataObject
) -> None:
    graph = random_graphs.graph_of(text)
    placements = data.draw(placements_of(graph))
    event(plan_name(graph, placements))
    layout = compiled(graph, placements, random_graphs.shelf())
    counted = Counter(placements.values())
    assert len(layout.apps) == counted[FANOUT]
    batch = random_graphs.random_batch(graph, rows, seed)
    running = Running(layout, random_graphs.shelf(), folder)
    random_graphs.check_answer(graph, running.answer(batch), random_graphs.expected(graph, batch))
    assert all(remote.calls <= 1 for remote in running.remotes.values())


@settings(deadline=None, max_examples=50)
@given(text=random_graphs.services(), data=st.data())
def test_groups_share_no_node_and_depend_on_the_graph_alone(text: str, data: st.DataObject) -> None:
    graph = random_graphs.graph_of(text)
    placements = data.draw(placements_of(graph))
    groups = merged_groups(graph, placements)
    counts = Counter(name for group in groups for name in group)
    assert set(counts.values()) <= {1}
    assert all(placements[name] == MERGED for name in counts)
    assert merged_groups(graph, dict(reversed(placements.items()))) == groups


def test_uniform_placements_are_the_plans_byte_for_byte() -> None:
    graph = graph_from(VOTE)
    model = shelf().put(merged.compile_merged(graph, shelf().read))
    assert compiled(graph, uniform(graph, MERGED)).to_json() == merged.merged_layout(graph, model).to_json()
    assert compiled(graph, uniform(graph, FUSED)).to_json() == fused.compile_fused(graph).to_json()


def test_fan_out_nodes_are_deployments_with_their_size() -> None:
    text = VOTE.replace("forest@1,", "forest@1, placement: fanout, replicas: {min: 0, max: 3}, gpus: 0.5,")
    graph, placements = placed(text, forest=FANOUT)
    layout = compiled(graph, placements)
    assert layout.plan == "mixed"
    assert list(layout.apps) == ["forest"]
    assert layout.apps["forest"].scale == NodeScale(0, 3, gpus=0.5)
    (remote,) = [node for node in layout.nodes if node.remote]
    assert (remote.name, remote.runtime, dict(remote.files)) == ("forest", "", {})
    (node,) = layout.apps["forest"].layout.nodes
    assert set(node.files) == {"model.onnx"}
    assert [spec.name for spec in node.signature.outputs] == ["probabilities"]  # what somebody takes


def test_all_that_calls_a_version_fans_out() -> None:
    graph = graph_from(VOTE)
    layout = compiled(graph, uniform(graph, FANOUT))
    assert layout.plan == "fanout"
    assert set(layout.apps) == {"scale", "linear", "forest", "boosting"}
    for alone, node in zip(fused.compile_fused(graph).nodes, layout.nodes, strict=True):
        assert node.remote == (alone.name if alone.name in layout.apps else "")
        if node.remote:
            assert layout.apps[node.remote].layout.to_json() == fanout.layout_of(alone).to_json()


def test_the_rest_is_merged_around_a_fan_out_node() -> None:
    graph, placements = placed(scale=MERGED, linear=MERGED, boosting=MERGED, vote=MERGED, forest=FANOUT)
    assert merged_groups(graph, placements) == [("boosting", "scale", "linear", "vote")]
    layout = compiled(graph, placements)
    assert [node.name for node in layout.nodes] == ["forest", "boosting+3"]


def test_a_way_out_and_back_in_is_not_merged() -> None:
    text = VOTE.replace("forest@1, inputs: {x: $in.image}", "forest@1, inputs: {x: scale.y}")
    graph, placements = placed(text, scale=MERGED, boosting=MERGED, vote=MERGED)
    assert merged_groups(graph, placements) == [("boosting", "vote")]
    layout = compiled(graph, placements)
    assert {node.name for node in layout.nodes} == {"boosting+vote", "forest", "linear", "scale"}


GATE = """\
service: gate
graph:
  inputs: {image: {datatype: FP32, shape: [-1, 64]}}
  nodes:
    linear: {model: linear@1, inputs: {x: $in.image}}
    forest: {model: forest@1, inputs: {x: $in.image}}
    scale: {transform: scale@1, inputs: {x: $in.image}}
    boosting: {model: boosting@1, inputs: {x: scale.y}}
    gate: {cascade: [linear.probabilities, forest.probabilities, boosting.probabilities], threshold: 0.9}
  outputs: {label: gate.label}
"""


def test_what_runs_lazily_is_merged_with_its_like_or_with_its_chooser() -> None:
    graph, placements = placed(GATE, scale=MERGED, boosting=MERGED, linear=MERGED)
    assert merged_groups(graph, placements) == [("scale", "boosting")]
    layout = compiled(graph, placements)
    (gate,) = [node for node in layout.nodes if node.choice]
    assert [[node.name for node in nodes] for nodes in gate.branches.values()] == [["forest"], ["scale+boosting"]]


def refusal(text: str, **asked: str) -> str:
    graph, placements = placed(text, **asked)
    with pytest.raises(Invalid, match="cannot be placed") as caught:
        compiled(graph, placements)
    assert caught.value.field == "placement"
    return str(caught.value)


def test_refusals_name_the_node_and_the_reason() -> None:
    says = refusal(GATE, gate=MERGED, linear=MERGED, scale=MERGED, boosting=MERGED)
    assert "'gate' chooses whether 'forest' runs: both are merged, or neither" in says
    assert "'vote' calls no version" in refusal(VOTE, vote=FANOUT)
    retried = VOTE.replace("forest@1,", "forest@1, retries: 1,")
    assert "'forest' (forest@1) has 'retries'" in refusal(retried, forest=MERGED, vote=MERGED)
    spare = VOTE.replace("forest@1,", "forest@1, fallback: boosting,")
    assert "'boosting' stands in for 'forest'" in refusal(spare, boosting=MERGED, vote=MERGED)
    lost = VOTE.replace("combine:", "quorum: 1\n      combine:")
    assert "'vote' reads 'forest', which may be lost" in refusal(lost, scale=MERGED, linear=MERGED, vote=MERGED)
    alone = VOTE.replace("forest@1,", "forest@1, placement: merged,")
    assert "nothing that it reads or feeds is merged with it" in refusal(alone, forest=MERGED)
    other = VOTE.replace("forest@1,", "forest@1, placement: fused,")
    assert "'forest' is placed as fused by the service" in refusal(other, forest=FANOUT)


def test_a_group_that_can_be_lost_is_lost_as_one(folder: Path) -> None:
    """A quorum of one over a merged branch and a fan-out member: the branch is optional as its nodes were."""
    text = VOTE.replace("combine:", "quorum: 1\n      combine:")
    graph, placements = placed(text, scale=MERGED, linear=MERGED, forest=FANOUT)
    layout = compiled(graph, placements)
    optional = {node.name for node in layout.nodes if not node.policy.required}
    assert optional == {"scale+linear", "forest", "boosting"}
    essential = replace(graph, nodes=tuple(replace(node, essential=node.name == "linear") for node in graph.nodes))
    kept = {node.name for node in compiled(essential, placements).nodes if node.policy.required}
    assert "scale+linear" in kept
