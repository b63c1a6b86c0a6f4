"""What has expired goes, and nothing that anybody still needs."""

import fcntl
import os
from pathlib import Path

import pytest

from aimass.accounts.keys import KeyRequest
from aimass.control import deploy as verbs
from aimass.control import keys
from aimass.control.leases.lease import LEADER, Lease
from aimass.control.reconciling.sweeping import CACHE_S, KEY_S, PARTIAL_S, UNREADY_S, sweep
from aimass.control.shadows import verbs as shadows
from aimass.control.shadows.choosing import Wish
from aimass.control.state import build_state
from aimass.testing.desk import Desk, service_document


@pytest.fixture
def lease(desk: Desk) -> Lease:
    made = Lease(desk.context.database, LEADER, desk.clock)
    assert made.keep()
    return made


def written(path: Path, at: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    os.utime(path, (at, at))
    return path


def test_an_expired_key_leaves_the_state_and_stays_on_record(desk: Desk, lease: Lease) -> None:
    now = desk.clock.now()
    made = keys.create(desk.context, KeyRequest("brief", ("predict",), None, now + 60))
    kept = keys.create(desk.context, KeyRequest("long", ("predict",), None, now + 1e6))
    desk.clock.advance(KEY_S + 61)
    lease.keep()
    assert sweep(desk.context, lease) == ["swept 1 expired key"]
    with desk.context.database.reading() as session:
        state = build_state(session)
    ids = {key.id for key in state.keys}
    assert made["id"] not in ids
    assert kept["id"] in ids
    assert desk.pusher.replicas[0].state.number == state.number
    (row,) = [item for item in keys.list_keys(desk.context) if item["id"] == made["id"]]
    assert row["revoked_at"] == row["expires_at"]
    assert sweep(desk.context, lease) == []


def test_files_that_dead_processes_never_finished_go_and_those_of_the_living_stay(desk: Desk, lease: Lease) -> None:
    home, now = desk.settings.home, desk.clock.now()
    dead = [written(folder / "x.new", now - UNREADY_S - 1) for folder in (home.journal, home.marks)]
    dead.append(written(home.payloads / "spill" / "replica-1.new", now - UNREADY_S - 1))
    young = written(home.marks / "young.new", now)
    alive = written(home.marks / "alive.new", now - UNREADY_S - 1)
    partial = written(home.path / "state.json.7-8.tmp", now - PARTIAL_S - 1)
    day = home.payloads / "service=iris" / "day=2026-11-21"
    halves = [
        written(folder / name, now - PARTIAL_S - 1)
        for folder, name in (
            (home.path, "payload-key.7.new"),
            (home.payloads, "cleaned.json.7-8.tmp"),
            (day, "a.parquet.7.tmp"),
        )
    ]
    writing = written(day / "b.parquet.8.tmp", now)
    fresh = written(home.path / "key.7-8.tmp", now)
    with alive.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert sweep(desk.context, lease) == ["swept 3 unfinished files", "swept 4 half-written files"]
    assert not any(path.exists() for path in (*dead, *halves, partial))
    assert writing.exists()
    assert all(path.exists() for path in (young, alive, fresh))


def test_checkouts_go_once_no_kept_revision_loads_from_them(desk: Desk, lease: Lease) -> None:
    for factor in (2.0, 4.0, 8.0):
        verbs.deploy(desk.context, service_document(desk.register("double", factor)))
    cache = desk.settings.home.cache
    assert len(list(cache.iterdir())) == 3
    for path in cache.iterdir():
        os.utime(path, (desk.clock.now(),) * 2)
    assert sweep(desk.context, lease) == []
    desk.clock.advance(CACHE_S + 1)
    assert sweep(desk.context, lease) == ["swept 1 unused checkout"], "the live one and the one before are kept"
    assert desk.answer("twice") == (3, 8.0)
    verbs.rollback(desk.context, "twice")
    assert desk.answer("twice") == (2, 4.0)
    assert verbs.deploy(desk.context, service_document("double@2")).revision == 1, "what was swept is fetched again"


def test_checkouts_of_a_nodes_shadow_stay_while_it_stands(desk: Desk, lease: Lease) -> None:
    verbs.deploy(desk.context, service_document("double@1"))
    revisions = set(desk.settings.home.cache.iterdir())
    shadows.cast(desk.context, "twice", Wish(node="m", model=desk.register("double", 4.0)), 10)
    desk.clock.advance(2 * CACHE_S)
    assert sweep(desk.context, lease) == [] and revisions < set(desk.settings.home.cache.iterdir())
    shadows.end(desk.context, "twice")
    (said,) = sweep(desk.context, lease)
    assert "unused checkout" in said and set(desk.settings.home.cache.iterdir()) == revisions
