"""Status and services: what is there, and no failure when nobody answers."""

import pytest

from aimass.cli.services import say_failures
from aimass.control import deploy, services, status
from aimass.control.revisions import aside
from aimass.control.traffic.splitting import Wish, split
from aimass.database import state_number
from aimass.database.tables import UsageEventRow
from aimass.gateway.metrics import Metrics
from aimass.testing.desk import Desk, service_document


def test_status_says_what_runs_and_what_was_promised(desk: Desk) -> None:
    deploy.deploy(desk.context, service_document("double@1"))
    metrics = Metrics()
    metrics.series("twice", 1).answer(0.002, 1)
    desk.pusher.counts = metrics.snapshot()
    found = status.status(desk.context)
    (line,) = found["services"]
    assert (line["name"], line["calls"], line["p95_ms"], line["slo_p95_ms"]) == ("twice", 1, 2.5, 50)
    assert (line["refused"], line["failed"]) == (0, [])
    assert [item["state"] for item in found["replicas"]] == [found["state"]] * 2
    assert found["reconciler"] == "answers"


def test_status_answers_while_the_reconciler_is_away(desk: Desk) -> None:
    deploy.deploy(desk.context, service_document("double@1"))
    desk.pusher.is_away = True
    found = status.status(desk.context)
    assert (found["reconciler"], found["replicas"], len(found["services"])) == ("away", [], 1)


def test_usage_is_listed_with_its_service(desk: Desk) -> None:
    deploy.deploy(desk.context, service_document("double@1"))
    with desk.context.database.session() as session:
        for seq in (1, 2):
            session.add(
                UsageEventRow(
                    journal="j",
                    seq=seq,
                    at=1.0,
                    account="default",
                    key_id="key-a",
                    service="twice",
                    revision=1,
                    plan="merged",
                    request_id="r",
                    client_id="",
                    rows=3,
                    bytes_in=1,
                    bytes_out=1,
                    total_us=10,
                    node_us={},
                )
            )
    (found,) = services.list_services(desk.context, usage=True)
    assert [(item["key_id"], item["calls"], item["rows"]) for item in found["usage"]] == [("key-a", 2, 6)]
    assert "usage" not in services.list_services(desk.context)[0]
    assert services.show(desk.context, "twice")["usage"] == found["usage"]


@pytest.mark.parametrize("is_live_beside", [True, False])
def test_why_a_revision_that_is_held_ready_is_not_loaded_is_said(
    desk: Desk, is_live_beside: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if is_live_beside:
        deploy.deploy(desk.context, service_document("double@1"))
    held = deploy.deploy(desk.context, service_document(desk.register("double", 3.0)), traffic=False).revision
    desk.pusher.replicas[0].failed[f"twice/{held}"] = "artifact is corrupted"
    for found in (services.list_services(desk.context), status.status(desk.context)["services"]):
        say_failures(found)
        assert capsys.readouterr().out == (
            f"twice revision {held} is held ready, but cannot be loaded: artifact is corrupted\n"
        )


def test_why_a_revision_that_is_held_ready_was_put_aside_is_said(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy.deploy(desk.context, service_document("double@1"), traffic=False)
    with desk.context.database.session() as session:
        aside.move(session, ("twice", 1), True, "aimass", "it killed its replica twice", 1.0)
        number = state_number.bump(session)
    desk.pusher.push(number)
    for found in (services.list_services(desk.context), status.status(desk.context)["services"]):
        say_failures(found)
        assert "twice revision 1 is held ready, but cannot be loaded: it was put aside: it killed" in (
            capsys.readouterr().out
        )


def test_each_reason_names_its_own_revision(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    for factor in (2.0, 3.0):
        deploy.deploy(desk.context, service_document(desk.register("double", factor)))
    split(desk.context, "twice", Wish({"1": 10, "2": 90}))
    desk.pusher.replicas[1].failed["twice/1"] = "no disk"
    say_failures(services.list_services(desk.context))
    assert capsys.readouterr().out == "twice revision 1 cannot be loaded: no disk\n"


def test_a_console_from_before_an_upgrade_says_less(capsys: pytest.CaptureFixture[str]) -> None:
    rollout = {"is_active": True, "revision": 2, "state": "running", "share": 5.0}
    say_failures([{"name": "twice", "revision": 1, "failed": {}, "rollout": rollout}])
    assert capsys.readouterr().out == "twice revision 2: a rollout is running at 5 %\n"
