"""Shadows are stored, reach replicas that load them, are refused for a reason, and end."""

from typing import Any

import numpy as np
import pytest

from aimass.control import deploy as traffic
from aimass.control import models
from aimass.control.shadows import verbs
from aimass.control.shadows.choosing import Wish
from aimass.core.batch import Batch
from aimass.core.errors import AimassError, Conflict, Invalid, NotFound, Unavailable
from aimass.core.ids import DEFAULT_ACCOUNT, canonical_json
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.gateway.state import GatewayState, ShadowState
from aimass.registry import aliases, versions
from aimass.registry.manifest import GRAPH_FILE, Lineage, Manifest
from aimass.testing.desk import Desk, service_document, times

CHAIN = """\
service: twice
graph:
  inputs: {{x: {{datatype: FP32, shape: [-1, 2]}}}}
  nodes:
    first: {{model: double@1, inputs: {{x: $in.x}}}}
    second: {{model: double@1, inputs: {{x: first.y}}{policy}}}
    third: {{model: double@1, inputs: {{x: second.y}}}}
  outputs: {{y: third.y}}
placement: {placement}
"""


@pytest.fixture
def two(desk: Desk) -> Desk:
    """A service whose second revision was rolled back from."""
    desk.register("double", 3.0)
    for ref in ("double@1", "double@2"):
        traffic.deploy(desk.context, service_document(ref))
    traffic.rollback(desk.context, "twice")
    return desk


def _state(desk: Desk) -> GatewayState:
    state = desk.pusher.replicas[0].state
    assert GatewayState.loads(state.dumps()) == state, "it travels as JSON"
    return state


def _shadows(desk: Desk) -> tuple[ShadowState, ...]:
    return _state(desk).services[0].shadows


def test_a_revision_looks_on_at_a_share_until_it_ends(two: Desk) -> None:
    done = verbs.cast(two.context, "twice", Wish(2), 10)
    assert (done.shadow, done.share, done.replicas, done.silent) == ("2", 10, 2, ())
    assert _shadows(two) == (ShadowState("2", 10, 2),)
    assert two.answer("twice") == (1, 2.0), "callers have the first one's answers"
    assert all(("twice", 2) in replica.plans for replica in two.pusher.replicas)
    verbs.cast(two.context, "twice", Wish(2), 25.5)
    assert _shadows(two) == (ShadowState("2", 25.5, 2),)
    (ended,) = verbs.end(two.context, "twice", Wish(2))
    assert (ended.share, _shadows(two)) == (0, ())
    shown = verbs.show(two.context, "twice")
    assert [(move["shadow"], move["share"]) for move in shown["moves"]] == [("2", 10), ("2", 25.5), ("2", 0)]
    assert ("twice", 2) not in two.pusher.replicas[0].plans, "nobody needs it any more"


def test_any_number_at_once_and_all_end_together(two: Desk) -> None:
    two.register("double", 4.0)
    verbs.cast(two.context, "twice", Wish(2), 100)
    verbs.cast(two.context, "twice", Wish(node="m", model="double@2"), 1)
    verbs.cast(two.context, "twice", Wish(node="m", model="double@champion"), 2)
    assert [shadow.name for shadow in _shadows(two)] == ["2", "m=double@2", "m=double@3"]
    assert len(verbs.end(two.context, "twice")) == 3
    assert _shadows(two) == ()


@pytest.mark.parametrize(
    ("asked", "share", "error", "says"),
    [
        (Wish(2), 0, Invalid, "above 0"),
        (Wish(2), 100.1, Invalid, "up to 100"),
        (Wish(2), float("nan"), Invalid, "per cent"),
        (Wish(9), 10, NotFound, "no revision 9; there are: 1, 2"),
        (Wish(1), 10, Invalid, "nothing shadows itself"),
        (Wish(), 10, Invalid, "name a revision, or a node and a model"),
        (Wish(2, "m", "double@2"), 10, Invalid, "name a revision, or a node and a model"),
        (Wish(node="m"), 10, Invalid, "name a revision, or a node and a model"),
        (Wish(node="z", model="double@2"), 10, NotFound, "no node 'z'; models and transforms are: m"),
        (Wish(node="m", model="double@9"), 10, NotFound, "double"),
        (Wish(node="m", model="other@1"), 10, NotFound, "other"),
        (Wish(node="m", model="double@1"), 10, Invalid, "runs double@1 already"),
        (Wish(node="m", model="wide@1"), 10, Invalid, "wide@1 cannot stand beside node 'm' .*shape"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_stands(
    two: Desk, asked: Wish, share: float, error: type[AimassError], says: str
) -> None:
    context = two.context
    signature = Signature((TensorSpec("x", Datatype.FP32, (-1, 3)),), (TensorSpec("y", Datatype.FP32, (-1, 3)),))
    with context.database.session() as session:
        manifest = Manifest("model", "onnx", {"model.onnx": context.store.put(times(1.0))}, signature)
        versions.register(session, context.store, "wide", manifest, DEFAULT_ACCOUNT, two.clock)
    before = _state(two).number
    with pytest.raises(error, match=says):
        verbs.cast(context, "twice", asked, share)
    assert _state(two).number == before
    assert verbs.show(context, "twice")["moves"] == []


def test_who_is_not_there_has_no_shadows(two: Desk) -> None:
    with pytest.raises(NotFound, match="no service is named 'other'"):
        verbs.cast(two.context, "other", Wish(2), 10)
    with pytest.raises(NotFound, match="no such shadow; there are: none"):
        verbs.end(two.context, "twice", Wish(2))
    verbs.cast(two.context, "twice", Wish(2), 10)
    traffic.undeploy(two.context, "twice")
    assert all(service.shadows == () for service in _state(two).services)
    with pytest.raises(Conflict, match="not deployed"):
        verbs.cast(two.context, "twice", Wish(2), 10)


def test_one_that_no_replica_can_load_does_not_stand_and_one_whose_share_was_to_change_stays(
    two: Desk,
) -> None:
    verbs.cast(two.context, "twice", Wish(node="m", model="double@2"), 10)
    (kept,) = _shadows(two)
    two.pusher.is_away = True
    with pytest.raises(Unavailable, match="reconciler does not answer"):
        verbs.cast(two.context, "twice", Wish(node="m", model="double@2"), 50)
    two.pusher.is_away = False
    assert verbs.show(two.context, "twice")["shadows"][0]["share"] == kept.share
    two.register("double", 5.0, model=b"no model at all")
    with pytest.raises(Invalid, match="shadow m=double@3 of twice cannot be loaded"):
        verbs.cast(two.context, "twice", Wish(node="m", model="double@3"), 10)
    assert [shadow.name for shadow in _shadows(two)] == ["m=double@2"]


def _run(desk: Desk, node: str, rows: Any) -> Batch:
    (shadow,) = _shadows(desk)
    name = shadow.plan_of("twice")
    assert name[0] == f"twice~{node}"
    return desk.pusher.replicas[1].plans[name].run({"x": np.asarray(rows, np.float32)})


@pytest.mark.parametrize(
    ("placement", "policy"), [("merged", ""), ("fused", ""), ("auto", ", retries: 1, required: true")]
)
def test_beside_a_node_runs_what_feeds_it_the_node_and_the_shadow(desk: Desk, placement: str, policy: str) -> None:
    """However the revision itself is laid out."""
    desk.register("double", 7.0)
    traffic.deploy(desk.context, CHAIN.format(placement=placement, policy=policy))
    verbs.cast(desk.context, "twice", Wish(node="second", model="double@2"), 10)
    found = _run(desk, "second", [[1, 2], [-1, 0.5]])
    np.testing.assert_array_equal(found["primary.y"], [[4, 8], [-4, 2]])
    np.testing.assert_array_equal(found["shadow.y"], [[14, 28], [-14, 7]])
    assert set(found) == {"primary.y", "shadow.y"}


def test_a_version_that_stands_beside_a_node_is_not_removed(two: Desk) -> None:
    two.register("double", 4.0)
    two.register("double", 5.0)  # champion goes on
    verbs.cast(two.context, "twice", Wish(node="m", model="double@3"), 10)
    with pytest.raises(Conflict, match="double@3"):
        models.remove(two.context, "double", 3)
    verbs.end(two.context, "twice")
    assert models.remove(two.context, "double", 3) == {"removed": "double@3"}


def test_an_ensemble_may_stand_beside_a_node(two: Desk) -> None:
    context = two.context
    graph = {
        "nodes": {
            "a": {"model": "double@2", "inputs": {"x": "$in.x"}},
            "b": {"model": "double@2", "inputs": {"x": "a.y"}},
        },
        "outputs": {"y": "b.y"},
    }
    with context.database.session() as session:
        files = {GRAPH_FILE: context.store.put(canonical_json(graph))}
        manifest = Manifest(
            kind="ensemble",
            runtime="",
            files=files,
            signature=aliases.resolve(session, "double@1").manifest.signature,
            lineage=Lineage(parents=("double@2",)),
            graph=graph,
        )
        versions.register(session, context.store, "nine", manifest, DEFAULT_ACCOUNT, two.clock)
    verbs.cast(context, "twice", Wish(node="m", model="nine@1"), 10)
    found = _run(two, "m", [[1, 1]])
    assert (found["primary.y"][0, 0], found["shadow.y"][0, 0]) == (2, 9)


def test_a_changed_share_keeps_the_plan_and_a_new_main_revision_leaves_it_where_it_was(two: Desk) -> None:
    verbs.cast(two.context, "twice", Wish(node="m", model="double@2"), 10)
    (before,) = _shadows(two)
    verbs.cast(two.context, "twice", Wish(node="m", model="double@2"), 20)
    (after,) = _shadows(two)
    assert (after.plan, after.share) == (before.plan, 20)
    two.register("double", 5.0)
    traffic.deploy(two.context, service_document("double@3"))
    assert _shadows(two) == (after,), "it looks at the calls of revision 1, if there are any"
    verbs.cast(two.context, "twice", Wish(node="m", model="double@2"), 20)
    (moved,) = _shadows(two)
    assert (moved.revision, moved.plan != before.plan) == (3, True)
