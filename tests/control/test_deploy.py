"""Deploy, rollback, undeploy against replicas that really load; whatever goes wrong, nothing is half-deployed."""

import json
from pathlib import Path
from typing import Any

import pytest

from aimass.accounts.keys import KeyRequest
from aimass.control import deploy as verbs
from aimass.control import keys, models, services
from aimass.control.context import Context
from aimass.control.revisions import explaining, planning
from aimass.core.errors import AimassError, Conflict, DocumentError, Invalid, NotFound, Timeout, Unavailable
from aimass.core.ids import Digest
from aimass.database import state_number
from aimass.database.tables import RevisionRow, ServiceRow, TrafficMoveRow
from aimass.gateway.state import ReplicaReport
from aimass.serving.planner.machine import Load
from aimass.testing.desk import Desk
from aimass.testing.desk import service_document as service

CYCLE = """\
service: twice
graph:
  inputs: {x: {datatype: FP32, shape: [-1, 2]}}
  nodes:
    a: {model: double@1, inputs: {x: b.y}}
    b: {model: double@1, inputs: {x: a.y}}
  outputs: {y: b.y}
"""


def counts(context: Context) -> tuple[int, int, int, int]:
    with context.database.reading() as session:
        tables = (ServiceRow, RevisionRow, TrafficMoveRow)
        rows = [session.query(table).count() for table in tables]
        return (*rows, state_number.current(session))  # type: ignore[return-value]


@pytest.mark.parametrize("placement", ["auto", "merged", "fused"])
def test_deployed_revision_answers_in_every_replica(desk: Desk, placement: str) -> None:
    done = verbs.deploy(desk.context, service("double@champion", placement=placement))
    assert (done.revision, done.changed, done.replicas, done.weights) == (1, True, 2, {"1": 100.0})
    assert placement in ("auto", done.plan)
    assert [desk.answer("twice", replica) for replica in (0, 1)] == [(1, 2.0), (1, 2.0)]
    state = desk.pusher.replicas[0].state
    assert state.services[0].limits.max_queue == 7
    assert state.services[0].limits.deadline_ms == 200


def test_the_same_document_again_changes_nothing_and_says_so(desk: Desk) -> None:
    verbs.deploy(desk.context, service("double@champion"))
    before = counts(desk.context)
    again = verbs.deploy(desk.context, "# a comment\n" + service("double@1"))
    assert (again.revision, again.changed) == (1, False)
    assert "nothing was changed" in again.message
    assert counts(desk.context) == before


def test_what_a_replica_cannot_load_any_more_is_shown_and_deploying_it_again_mends_it(desk: Desk) -> None:
    done = verbs.deploy(desk.context, service("double@1", placement="merged"))
    replica = desk.pusher.replicas[0]
    del replica.plans["twice", 1]
    replica.failed["twice/1"] = "artifact is corrupted"
    (shown,) = services.list_services(desk.context)
    assert (shown["ready"], shown["failed"]) == (1, ["artifact is corrupted"])
    again = verbs.deploy(desk.context, service("double@1", placement="merged"))
    assert (done.revision, again.revision, again.changed) == (1, 2, True)
    assert desk.answer("twice") == (2, 2.0)
    assert services.list_services(desk.context)[0]["failed"] == []


def test_an_earlier_document_takes_its_revision_back(desk: Desk) -> None:
    one, two = service("double@1"), service(desk.register("double", 3.0))
    for document in (one, two):
        verbs.deploy(desk.context, document)
    verbs.rollback(desk.context, "twice")
    again = verbs.deploy(desk.context, two, "two.yaml")
    assert (again.revision, again.changed) == (2, True)
    assert "takes revision 2 back" in again.message
    assert desk.answer("twice") == (2, 3.0)
    back = verbs.deploy(desk.context, one)
    assert (back.revision, desk.answer("twice")) == (1, (1, 2.0))
    shown = services.show(desk.context, "twice")
    assert (shown["previous"], [item["number"] for item in shown["revisions"]]) == (2, [1, 2])
    assert [move["weights"] for move in shown["moves"]][3:] == [
        {"1": 100.0, "2": 0.0}, {"2": 100.0}, {"2": 100.0, "1": 0.0}, {"1": 100.0},
    ]  # fmt: skip
    assert shown["moves"][4]["why"] == "deployed from two.yaml"
    assert verbs.rollback(desk.context, "twice").revision == 2
    verbs.undeploy(desk.context, "twice")
    assert verbs.deploy(desk.context, two).revision == 2
    assert desk.answer("twice") == (2, 3.0)


def test_an_earlier_revision_that_cannot_be_loaded_is_not_taken_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = (service(ref) for ref in ("double@1", *(desk.register("double", f) for f in (3.0, 4.0))))
    for document in (one, two, three):
        verbs.deploy(desk.context, document)
    replica = desk.pusher.replicas[0]
    with monkeypatch.context() as patch:
        patch.setattr(replica, "report", lambda: ReplicaReport("a", 1, "n", 0, failed={"twice/1": "no disk"}))
        copy = verbs.deploy(desk.context, one)
    assert (copy.revision, desk.answer("twice")) == (4, (4, 2.0))
    assert services.show(desk.context, "twice")["previous"] == 3
    assert verbs.rollback(desk.context, "twice").revision == 3
    assert desk.answer("twice") == (3, 4.0)


def test_a_taking_back_that_is_cut_off_is_undone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = service("double@1"), service(desk.register("double", 3.0))
    for document in (one, two):
        verbs.deploy(desk.context, document)
    before = services.show(desk.context, "twice")

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(desk.pusher, "await_loaded", cut_off)
        verbs.deploy(desk.context, one)
    after = services.show(desk.context, "twice")
    assert after["weights"] == before["weights"] == {"2": 100.0}
    assert after["moves"][-1]["why"] == "leaves revision 1 again: nobody waited for it any more"
    assert verbs.deploy(desk.context, one).revision == 1


def test_a_moved_alias_makes_another_revision_and_rollback_returns(desk: Desk) -> None:
    verbs.deploy(desk.context, service("double@champion"))
    desk.register("double", 4.0)
    assert desk.answer("twice") == (1, 2.0), "an alias that moves does not move a deployed service"
    assert verbs.deploy(desk.context, service("double@champion")).revision == 2
    assert desk.answer("twice") == (2, 4.0)
    assert sorted(desk.pusher.replicas[0].plans) == [("twice", 1), ("twice", 2)], "the one before stays loaded"
    back = verbs.rollback(desk.context, "twice")
    assert (back.revision, desk.answer("twice")) == (1, (1, 2.0))
    with pytest.raises(Conflict, match="no revision before 1"):
        verbs.rollback(desk.context, "twice")


def test_rollback_goes_to_what_was_live_before_and_further_back_each_time(desk: Desk) -> None:
    refs = ["double@1", *(desk.register("double", factor) for factor in (3.0, 4.0))]
    verbs.deploy(desk.context, service(refs[0]))
    verbs.deploy(desk.context, service(refs[1]))
    verbs.rollback(desk.context, "twice")
    verbs.deploy(desk.context, service(refs[2]))
    assert services.show(desk.context, "twice")["previous"] == 1
    assert sorted(desk.pusher.replicas[0].plans) == [("twice", 1), ("twice", 3)]
    assert (verbs.rollback(desk.context, "twice").revision, desk.answer("twice")) == (1, (1, 2.0))
    with pytest.raises(Conflict, match="no revision before 1"):
        verbs.rollback(desk.context, "twice")


def test_a_rollback_that_fails_to_load_changes_nothing_and_may_be_tried_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ref in ("double@1", desk.register("double", 3.0)):
        verbs.deploy(desk.context, service(ref))
    replica = desk.pusher.replicas[0]
    with monkeypatch.context() as patch:
        patch.setattr(replica, "report", lambda: ReplicaReport("a", 1, "n", 0, failed={"twice/1": "no disk"}))
        with pytest.raises(Invalid, match="revision 1 cannot be loaded: no disk; revision 2 goes on"):
            verbs.rollback(desk.context, "twice")
    assert desk.answer("twice") == (2, 3.0)
    assert services.show(desk.context, "twice")["previous"] == 1
    assert verbs.rollback(desk.context, "twice").revision == 1


def test_only_traffic_and_the_one_before_stay_loaded(desk: Desk) -> None:
    for factor in (3.0, 4.0, 5.0):
        verbs.deploy(desk.context, service("double@champion"))
        desk.register("double", factor)
    verbs.deploy(desk.context, service("double@champion"))
    assert sorted(desk.pusher.replicas[0].plans) == [("twice", 3), ("twice", 4)]
    verbs.rollback(desk.context, "twice")
    verbs.rollback(desk.context, "twice")
    assert desk.answer("twice") == (2, 3.0)


def test_undeploy_takes_traffic_away_and_deploying_brings_it_back(desk: Desk) -> None:
    verbs.deploy(desk.context, service("double@1"))
    assert verbs.undeploy(desk.context, "twice").changed
    assert desk.pusher.replicas[0].state.services == ()
    assert not verbs.undeploy(desk.context, "twice").changed
    with pytest.raises(Conflict, match="not deployed"):
        verbs.rollback(desk.context, "twice")
    with pytest.raises(Conflict, match="not deployed"):
        explaining.explain(desk.context, "twice")
    assert services.list_services(desk.context) == []
    assert verbs.deploy(desk.context, service("double@1")).revision == 1
    assert desk.answer("twice") == (1, 2.0)


@pytest.mark.parametrize(
    ("text", "line", "field", "says"),
    [
        (service("double@gold"), 5, "graph.nodes.m.model", "no alias 'gold'"),
        (service("double@9"), 5, "graph.nodes.m.model", "does not exist"),
        (service("triple@1"), 5, "graph.nodes.m.model", "no model is named 'triple'"),
        (service("double@1") + "colour: blue\n", 10, "colour", "unknown key"),
        (CYCLE, 5, "graph.nodes.a.inputs.x", "cycle"),
        (service("double@1").replace("m.y", "n.y"), 6, "graph.outputs.y", "n"),
        (service("double@1").replace("[-1, 2]", "[-1, 3]"), 5, "graph.nodes.m.inputs.x", "shape"),
    ],
)
def test_a_bad_document_is_refused_by_line_and_field(desk: Desk, text: str, line: int, field: str, says: str) -> None:
    verbs.deploy(desk.context, service("double@1"))
    before = counts(desk.context)
    with pytest.raises(DocumentError, match=f"service.yaml:{line}: ") as caught:
        verbs.deploy(desk.context, text)
    assert (caught.value.line, caught.value.field) == (line, field)
    assert says in str(caught.value)
    assert counts(desk.context) == before
    assert desk.answer("twice") == (1, 2.0)


@pytest.mark.parametrize("damage", ["corrupted", "missing"])
def test_a_damaged_artifact_is_refused_by_name_and_the_running_revision_stays(desk: Desk, damage: str) -> None:
    verbs.deploy(desk.context, service("double@1"))
    _damage(desk, desk.register("double", 4.0), damage)
    before = counts(desk.context)
    with pytest.raises((Invalid, NotFound), match=r"node m \(double@2\), model.onnx"):
        verbs.deploy(desk.context, service("double@2"))
    assert counts(desk.context) == before
    assert desk.answer("twice") == (1, 2.0)


def test_a_revision_that_replicas_cannot_load_never_takes_traffic(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    verbs.deploy(desk.context, service("double@1"))
    second = desk.register("double", 4.0)
    replica = desk.pusher.replicas[1]
    good = replica._checkout

    def broken(files: dict[str, Digest]) -> Path:
        good(files)
        raise Invalid("model.onnx is corrupted")

    monkeypatch.setattr(replica, "_checkout", broken)
    with pytest.raises(Invalid, match=r"revision 2 could not be loaded: .*corrupted.*; revision 1 goes on"):
        verbs.deploy(desk.context, service(second))
    assert [desk.answer("twice", index) for index in (0, 1)] == [(1, 2.0), (1, 2.0)]
    assert sorted(replica.plans) == [("twice", 1)]
    shown = services.show(desk.context, "twice")
    assert [(item["number"], bool(item["error"]), item["weight"]) for item in shown["revisions"]] == [
        (1, False, 100.0),
        (2, True, 0.0),
    ]
    monkeypatch.undo()
    assert verbs.deploy(desk.context, service(second)).revision == 3
    assert verbs.rollback(desk.context, "twice").revision == 1, "a revision that failed is no place to return to"


def test_a_first_deploy_that_fails_leaves_nothing_deployed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(files: object) -> object:
        raise Invalid("the disk is broken")

    for replica in desk.pusher.replicas:
        monkeypatch.setattr(replica, "_checkout", broken)
    with pytest.raises(Invalid, match="nothing is deployed"):
        verbs.deploy(desk.context, service("double@1"))
    assert services.list_services(desk.context) == []
    assert desk.pusher.replicas[0].state.services == ()


def test_without_any_replica_the_change_is_stored_and_found_by_the_next(desk: Desk) -> None:
    replicas, desk.pusher.replicas = desk.pusher.replicas, []
    assert verbs.deploy(desk.context, service("double@1")).replicas == 0
    desk.pusher.replicas = replicas
    desk.pusher.push(0)
    assert desk.answer("twice") == (1, 2.0)


def test_a_silent_replica_is_named(desk: Desk) -> None:
    desk.pusher.silent = {"replica-1"}
    done = verbs.deploy(desk.context, service("double@1"))
    assert (done.replicas, done.silent) == (1, ("replica-1",))
    desk.pusher.silent = {"replica-0", "replica-1"}
    desk.register("double", 4.0)
    with pytest.raises(Timeout, match="revision 1 goes on"):
        verbs.deploy(desk.context, service("double@2"))


def test_while_the_reconciler_is_away_nothing_new_is_deployed_but_keys_are_stored(desk: Desk) -> None:
    desk.pusher.is_away = True
    with pytest.raises(Unavailable, match="reconciler does not answer"):
        verbs.deploy(desk.context, service("double@1"))
    assert services.list_services(desk.context) == []
    made = keys.create(desk.context, KeyRequest("phone", ("predict",)))
    assert made["replicas"] == 0
    assert keys.revoke(desk.context, made["id"])["revoked_at"] is not None


def test_one_deploy_of_a_service_at_a_time(desk: Desk) -> None:
    with desk.context.turns.of("twice"), pytest.raises(Conflict, match=r"being changed just now by pid \d+ on"):
        verbs.deploy(desk.context.by("other", desk.context.account), service("double@1"))
    verbs.deploy(desk.context, service("double@1"))


def test_a_version_that_is_removed_meanwhile_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    second = desk.register("double", 4.0)
    models.move_alias(desk.context, "double", "champion", 1, "")
    plan = planning.plan

    def slow_plan(*arguments: Any) -> object:
        models.remove(desk.context, "double", 2)
        return plan(*arguments)

    monkeypatch.setattr(planning, "plan", slow_plan)
    with pytest.raises(AimassError, match="was removed"):
        verbs.deploy(desk.context, service(second))
    assert services.list_services(desk.context) == []


def test_explaining_a_document_stores_nothing(desk: Desk) -> None:
    before, artifacts = counts(desk.context), sorted(desk.context.store.digests())
    found = explaining.explain_document(desk.context, service("double@champion"))
    assert {item["plan"] for item in found["alternatives"]} >= {"merged", "fused", "fanout"}
    assert counts(desk.context) == before
    assert sorted(desk.context.store.digests()) == artifacts
    done = verbs.deploy(desk.context, service("double@champion"))
    explained = explaining.explain(desk.context, "twice")
    assert (explained["chosen"], explained["why"]) == (done.plan, done.why) == (found["chosen"], found["why"])


def test_a_declared_load_is_planned_for_and_another_may_be_asked_about(desk: Desk) -> None:
    text = service("double@champion").replace("slo: {", "slo: {load_rps: 200, ")
    assert "load_rps" in text
    found = explaining.explain_document(desk.context, text)
    assert found["load"] == {"rps": 200.0, "rows": 1}
    assert all(0 < item["figures"]["load"]["utilisation"] < 1 for item in found["alternatives"] if item["figures"])
    verbs.deploy(desk.context, text)
    assert explaining.explain(desk.context, "twice") == {**json.loads(json.dumps(found)), "revision": 1}
    other = explaining.explain(desk.context, "twice", Load(1e7, 8))
    assert other["load"] == {"rps": 1e7, "rows": 8}
    assert {item["name"] for item in other["alternatives"]} == {item["name"] for item in found["alternatives"]}
    assert "measured" not in explaining.explain(desk.context, "twice", measured=True), "nothing was called yet"


def _damage(desk: Desk, ref: str, damage: str) -> None:
    found = next(item for item in models.show(desk.context, "double")["versions"] if item["ref"] == ref)
    digest = found["files"]["model.onnx"]
    path = desk.settings.home.artifacts / digest[:2] / digest[2:]
    path.chmod(0o600)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"x" + path.read_bytes()[1:])
