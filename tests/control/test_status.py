"""Status and services: what is there, and no failure when nobody answers."""

from aimass.control import deploy, services, status
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
