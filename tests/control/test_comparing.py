"""Desired beside actual, as `aimass status --watch` shows it; and the gateway's size as a row."""

import io
from typing import Any

import pytest
from rich.console import Console

from aimass.cli.operating.watching import draw
from aimass.control import deploy as verbs
from aimass.control.leases.lease import LEADER, Lease
from aimass.control.operating.sizing import Bounds, bounds, resize
from aimass.control.reconciling.comparing import compare
from aimass.control.reconciling.doings import RECENT_S, Doings
from aimass.control.shadows.choosing import Wish
from aimass.control.shadows.verbs import cast
from aimass.core.errors import Invalid
from aimass.core.platform_file import PlatformFile
from aimass.testing.desk import Desk, service_document


def drawn(found: dict[str, Any]) -> str:
    out = io.StringIO()
    Console(width=160, file=out).print(draw(found))
    return out.getvalue()


def test_revisions_stand_beside_what_replicas_hold(desk: Desk) -> None:
    verbs.deploy(desk.context, service_document("double@1"))
    verbs.deploy(desk.context, service_document(desk.register("double", 4.0)))
    desk.pusher.replicas[1].plans.clear()
    desk.pusher.replicas[1].failed["twice/2"] = "out of memory"
    found = compare(desk.context)
    assert [(item["revision"], item["is"], item["weight"], item["loaded"]) for item in found["revisions"]] == [
        (1, "the one before", 0.0, 1),
        (2, "live", 100.0, 1),
    ]
    assert {item["replicas"] for item in found["revisions"]} == {2}
    assert found["revisions"][1]["wrong"] == ["out of memory"]
    desired = found["state"]["desired"]
    assert [item["state"] for item in found["state"]["replicas"]] == [desired, desired]
    text = drawn(found)
    assert f"state       {desired}: 2 of 2 replicas have it" in text
    assert "1 of 2" in text
    assert "out of memory" in text


def test_a_revision_that_only_looks_on_is_a_shadow(desk: Desk) -> None:
    for factor in (3.0, 5.0, 7.0):
        verbs.deploy(desk.context, service_document(desk.register("times", factor)))
    cast(desk.context, "twice", Wish(1, "", ""), 10.0)
    found = compare(desk.context)
    assert [(item["revision"], item["is"]) for item in found["revisions"]] == [
        (1, "shadow"),
        (2, "the one before"),
        (3, "live"),
    ]


def test_who_leads_and_who_changes_a_service_is_said(desk: Desk) -> None:
    assert "nobody leads" in drawn(compare(desk.context))
    Lease(desk.context.database, LEADER, desk.clock).keep()
    desk.clock.advance(2.0)
    with desk.context.turns.of("twice"):
        found = compare(desk.context)
    assert found["reconciler"]["led_for_s"] == 2.0
    assert found["reconciler"]["lease_left_s"] == 8.0
    (changing,) = found["changing"]
    assert changing["service"] == "twice"
    assert f"twice is being changed by {changing['by']}" in drawn(found)


def test_while_the_reconciler_is_away_only_what_is_desired_is_known(desk: Desk) -> None:
    verbs.deploy(desk.context, service_document("double@1"))
    desk.pusher.is_away = True
    found = compare(desk.context)
    (revision,) = found["revisions"]
    assert (revision["weight"], revision["loaded"]) == (100.0, None)
    text = drawn(found)
    assert "reconciler  is away" in text
    assert "?" in text
    assert "does not answer: gone" in drawn({"at": 0.0, "error": "gone"})


def test_the_newest_size_holds_until_the_platform_is_started_again(desk: Desk) -> None:
    def now() -> Bounds:
        with desk.context.database.reading() as session:
            return bounds(session, desk.settings)

    assert now() == Bounds(1, 1)
    resize(desk.context, 1, 4)
    resize(desk.context, 2, 3)
    assert now() == Bounds(2, 3)
    assert str(now()) == "2 to 3 replicas"
    for least, most in ((0, 1), (3, 2), (1, 1000)):
        with pytest.raises(Invalid, match=f"not {least} to {most}"):
            resize(desk.context, least, most)
    desk.clock.advance(10.0)
    PlatformFile(
        pid=1,
        start_ticks=1,
        boot_id="",
        url="",
        control_url="",
        tls_cert="",
        ray_dir="",
        ray_address="",
        ray_dashboard="",
        version="",
        started_at=desk.clock.now(),
        ready=True,
    ).write(desk.settings.home)
    assert now() == Bounds(1, 1)


def test_replicas_of_another_size_are_alike_and_of_other_settings_not(desk: Desk) -> None:
    settings = desk.settings
    larger = settings.model_copy(update={"gateway_max_replicas": 4})
    other = settings.model_copy(update={"max_body_bytes": 2048})
    assert larger.replica_version == settings.replica_version
    assert other.replica_version != settings.replica_version


def test_what_was_done_stands_for_a_minute_and_once(desk: Desk) -> None:
    doings = Doings(desk.clock)
    began = desk.clock.now()
    doings.say("starting console")
    desk.clock.advance(1.0)
    doings.say("starting console")
    assert doings.recent() == ((began, "starting console"),)
    desk.clock.advance(RECENT_S)
    assert doings.recent() == ()
    doings.say("starting console")
    assert len(doings.recent()) == 1
