"""A kept request once more: the same answer for any inputs, and one clear sentence for each reason why not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aimass.client.replays import compare
from aimass.client.tensors import from_json
from aimass.control import deploy as verbs
from aimass.control import logs
from aimass.control.requests.payloads import clean, export, show, tend
from aimass.control.requests.replay import replay
from aimass.control.requests.trace import trace
from aimass.control.traffic.splitting import Wish, split
from aimass.core.errors import AimassError, Conflict, Denied, NotFound, Unavailable
from aimass.core.events import Trace
from aimass.core.ids import DEFAULT_ACCOUNT, AccountId
from aimass.database.tables import AccountRow, RevisionRow, ServiceRow
from aimass.monitoring.payloads.log import Taken, open_log
from aimass.monitoring.payloads.secrets import Private
from aimass.monitoring.recorder import Recorder
from aimass.testing.desk import Desk, open_desk, service_document

OPEN = Private()


def _keep(desk: Desk, request_id: str, inputs: Any, private: Private = OPEN, **more: Any) -> None:
    """As a replica does: the call is answered by the revision's plan, and written down."""
    log = open_log(desk.settings.home, "replica", {})
    facts: dict[str, Any] = {
        "service": "twice",
        "revision": 1,
        "status": 200,
        "rows": 1 if inputs is None else len(inputs),
        **more,
    }
    outputs = {} if facts["status"] != 200 else {"y": desk.pusher.replicas[0].plans["twice", 1].run({"x": inputs})["y"]}
    batch = {} if inputs is None else {"x": inputs}
    log.offer(Taken(Trace(request_id, **facts), desk.clock.now(), 1.0, private, batch, outputs, 100))
    log.close()


ROWS = np.array([[1, -2], [0.25, 3]], np.float32)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with a deployed service, for the property."""
    with open_desk(tmp_path_factory.mktemp("desk")) as desk:
        verbs.deploy(desk.context, service_document("double@1"))
        yield desk


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(2)), elements=st.floats(width=32)),
    number=st.integers(0, 2**40),
)
def test_it_gives_the_same_answer_for_any_inputs(standing: Desk, rows: Any, number: int) -> None:
    clean(standing.context)
    standing.clock.advance(1)
    _keep(standing, f"r{number}", rows)
    found = replay(standing.context, f"r{number}")
    assert found["is_loaded"] and found["why_not"] == ""
    assert from_json(found["inputs"])["x"].tobytes() == rows.tobytes()
    logged, outside = from_json(found["logged"])["y"], from_json(found["outside"])["y"]
    assert compare(logged, outside) == "bits"
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(outside, rows * np.float32(2))
    (node,) = found["nodes"]
    assert (node["name"], node["rows"]) == ("m", len(rows)) and node["us"] > 0


def _fails(desk: Desk, request_id: str, error: type[AimassError], says: str) -> None:
    with pytest.raises(error, match=says):
        replay(desk.context, request_id)


def test_each_reason_why_not_is_one_sentence(desk: Desk) -> None:
    verbs.deploy(desk.context, service_document("double@1"))
    _fails(desk, "unknown", NotFound, "no request 'unknown' is on record")
    recorder = Recorder(desk.settings.home.logs, "replica", 50.0, desk.clock)
    recorder.record(Trace("logged", service="twice", revision=1, status=200))
    recorder.flush()
    _fails(desk, "logged", NotFound, "request logged was answered with 200, but its inputs and outputs were not kept")
    _keep(desk, "masked", ROWS, Private.of(["x"], []))
    _fails(desk, "masked", Conflict, "input 'x' of twice is masked, .*; name it under payloads.private.encrypt instead")
    _keep(desk, "refused", None, status=400, error="the body is no JSON")
    _fails(desk, "refused", Conflict, "refused before its inputs were kept: the body is no JSON")
    _keep(desk, "other", ROWS)
    with pytest.raises(NotFound, match="no request 'other' is on record"):
        replay(desk.context.by("eve", AccountId("eve")), "other")
    _keep(desk, "gone", ROWS)
    with desk.context.database.session() as session:
        (row,) = session.query(RevisionRow).all()
        kept = {column.name: getattr(row, column.name) for column in RevisionRow.__table__.columns}
        session.delete(row)
    _fails(desk, "gone", NotFound, "revision 1 of twice is gone, so it cannot run again; there is: none")
    with desk.context.database.session() as session:
        session.add(RevisionRow(**kept))
    for digest in list(desk.context.store.digests()):
        desk.context.store.delete(digest)
    for path in desk.settings.home.cache.rglob("*.onnx"):
        path.unlink()
    _fails(desk, "gone", NotFound, "an artifact of twice revision 1 was removed; deploy its document again")


def test_encrypted_inputs_are_replayed_while_the_key_is_there(desk: Desk) -> None:
    verbs.deploy(desk.context, service_document("double@1"))
    _keep(desk, "sealed", ROWS, Private.of(["y"], ["x"]))
    found = replay(desk.context, "sealed")
    assert from_json(found["inputs"])["x"].tolist() == ROWS.tolist()
    assert from_json(found["outside"])["y"].tolist() == (ROWS * 2).tolist()
    assert (found["logged"], found["masked"]) == ({}, ["y"])
    key = desk.settings.home.payload_key_file
    secret = key.read_text()
    key.write_text("00" * 32)
    _fails(desk, "sealed", Unavailable, "does not open column 'x' of request sealed: it is another key")
    key.unlink()
    _fails(desk, "sealed", Unavailable, "is gone, so what was encrypted cannot be read")
    key.write_text(secret)
    assert replay(desk.context, "sealed")["why_not"] == ""


def test_a_call_that_failed_is_run_again_all_the_same(desk: Desk) -> None:
    verbs.deploy(desk.context, service_document("double@1"))
    _keep(desk, "late", ROWS, status=504, error="the deadline passed")
    desk.pusher.is_away = True
    found = replay(desk.context, "late")
    assert (found["status"], found["error"], found["is_loaded"]) == (504, "the deadline passed", False)
    assert from_json(found["outside"])["y"].tolist() == (ROWS * 2).tolist()


def test_what_an_answer_did_without_is_told(desk: Desk) -> None:
    verbs.deploy(desk.context, service_document("double@1"))
    _keep(desk, "poor", ROWS, degraded="big,late")
    _keep(desk, "whole", ROWS)
    assert [replay(desk.context, name)["degraded"] for name in ("poor", "whole")] == [["big", "late"], []]


def test_a_trace_is_found_in_any_replicas_log_or_by_its_payload(desk: Desk) -> None:
    for index in range(3):
        recorder = Recorder(desk.settings.home.logs, f"replica-{index}", 50.0, desk.clock)
        recorder.record(Trace(f"r{index}", service="twice", status=200, total_s=0.002, run_s=0.001))
        recorder.flush()
    assert [trace(desk.context, f"r{index}")["replica"] for index in range(3)] == [f"replica-{i}" for i in range(3)]
    assert trace(desk.context, "r1")["us"]["run"] == 1000
    with pytest.raises(NotFound, match="no request 'r' is on record"):
        trace(desk.context, "r")
    verbs.deploy(desk.context, service_document("double@1"))
    _keep(desk, "kept", ROWS, run_s=0.003)
    assert trace(desk.context, "kept")["us"]["run"] == 3000


def test_what_is_kept_is_shown_taken_along_and_removed(desk: Desk, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    verbs.deploy(desk.context, service_document("double@1") + "payloads: {sample: 0.5, keep_days: 2}\n")
    desk.clock.advance(1.5 * 86400 - desk.clock.now() % 86400)  # noon
    for index in range(3):
        _keep(desk, f"r{index}", ROWS)
        desk.clock.advance(1)
    tend(desk.context)
    _keep(desk, "failed", ROWS, status=503, error="busy")
    desk.pusher.counts.payloads_dropped["twice", "disk"] = 4
    (shown,) = show(desk.context)
    (day,) = shown["days"]
    assert (day["calls"], day["errors"], day["rows"]) == (4, 1, 8) and day["bytes"] > 0
    (said,) = shown["settings"]
    assert (said["revision"], said["share"], said["payloads"]["sample"]) == (1, 100.0, 0.5)
    assert (shown["service"], shown["dropped"]) == ("twice", {"disk": 4})
    path = tmp_path / "out.parquet"
    path.write_bytes(b"".join(export(desk.context, "twice")))
    table = pq.read_table(path).to_pylist()
    assert [row["request_id"] for row in table] == ["r0", "r1", "r2", "failed"]
    assert table[0]["in.x"] == ROWS.ravel().tolist() and table[3]["out.y"] is None
    desk.clock.advance(2 * 86400 + 10)
    tend(desk.context)
    assert show(desk.context, "twice")[0]["days"] == [], "older than two days"
    _keep(desk, "later", ROWS)
    assert [day["calls"] for day in show(desk.context, "twice")[0]["days"]] == [1]
    clean(desk.context, "twice")
    assert show(desk.context, "twice")[0]["days"] == []
    with pytest.raises(NotFound, match="nothing is kept of twice"):
        list(export(desk.context, "twice"))
    for ask in (show, clean):
        with pytest.raises(NotFound, match="no service is named 'none'"):
            ask(desk.context, "none")
        with pytest.raises(NotFound, match="no service is named 'twice'"):
            ask(desk.context.by("eve", AccountId("eve")), "twice")


def test_each_account_sees_and_removes_its_own_only(desk: Desk) -> None:
    eve, owner = desk.context.by("eve", AccountId("eve")), desk.context.by("owner", DEFAULT_ACCOUNT)
    verbs.deploy(desk.context, service_document("double@1"))
    with desk.context.database.session() as session:
        session.add(AccountRow(id="eve", name="eve", created_at=desk.clock.now()))
        session.flush()
        session.add(ServiceRow(name="hers", account="eve", created_at=desk.clock.now()))
    _keep(desk, "mine", ROWS, Private.of([], ["x"]), account="default")
    _keep(desk, "lent", ROWS, account="eve")
    _keep(desk, "hers", ROWS, service="hers", account="eve", status=504)
    assert [item["service"] for item in show(owner)] == ["twice"]
    assert [item["service"] for item in show(eve)] == ["hers"]
    assert [item["service"] for item in show(desk.context)] == ["hers", "twice"], "an operator sees all"
    with pytest.raises(NotFound, match="no service is named 'twice'"):
        export(eve, "twice")
    tend(desk.context)
    clean(eve)
    assert show(eve) == []
    assert [day["calls"] for item in show(owner) for day in item["days"]] == [2]
    assert trace(owner, "lent")["account"] == trace(eve, "lent")["account"] == "eve"
    assert replay(owner, "lent")["why_not"] == ""
    with pytest.raises(Denied, match="twice belongs to another account, which alone may replay"):
        replay(eve, "lent")
    recorder = Recorder(desk.settings.home.logs, "replica", 50.0, desk.clock)
    for request_id, account in (("hers", "eve"), ("nobodys", "")):
        recorder.record(Trace(request_id, service="hers" if account else "", status=404, account=account))
    recorder.flush()
    for context, request_id in ((eve, "mine"), (owner, "hers")):
        for ask in (trace, replay):
            with pytest.raises(NotFound, match=f"no request '{request_id}' is on record"):
                ask(context, request_id)
    assert trace(eve, "hers")["status"] == trace(eve, "nobodys")["status"] == 404
    assert trace(desk.context, "hers")["account"] == "eve", "an operator sees all"
    assert [json.loads(line)["request_id"] for line in logs.read(eve, None, 9, follow=False)] == ["hers"]
    assert list(logs.read(owner, None, 9, follow=False)) == []
    assert len(list(logs.read(desk.context, None, 9, follow=False))) == 2
    desk.settings.home.payload_key_file.unlink()
    with pytest.raises(NotFound):  # before anything is opened
        replay(eve, "mine")
    clean(desk.context)
    assert show(desk.context) == []


def test_settings_are_those_of_the_revisions_with_traffic(desk: Desk) -> None:
    text = "payloads: {{sample: {}, keep_days: {}, keep_mb: 9}}\n"
    verbs.deploy(desk.context, service_document("double@1") + text.format(0.5, 3))
    verbs.deploy(desk.context, service_document(desk.register("double", 3.0)) + text.format(0.1, 1))
    _keep(desk, "old", ROWS)

    def said() -> list[tuple[int, float, float | None]]:
        return [
            (one["revision"], one["share"], one["payloads"]["sample"] if one["payloads"] else None)
            for one in show(desk.context, "twice")[0]["settings"]
        ]

    assert said() == [(2, 100.0, 0.1)]
    verbs.rollback(desk.context, "twice")
    assert said() == [(1, 100.0, 0.5)]
    split(desk.context, "twice", Wish({"1": 95, "2": 5}))
    assert said() == [(1, 95.0, 0.5), (2, 5.0, 0.1)]
    tend(desk.context)
    desk.clock.advance(2 * 86400)
    tend(desk.context)
    assert [day["calls"] for day in show(desk.context, "twice")[0]["days"]] == [1], "as long as revision 1 keeps it"
    verbs.deploy(desk.context, service_document("double@1"))
    assert said() == [(3, 100.0, None), (2, 0.0, 0.1)]
    verbs.undeploy(desk.context, "twice")
    assert said() == [(2, 0.0, 0.1)]
    tend(desk.context)
    assert show(desk.context, "twice")[0]["days"] == [], "what is left goes as the last one said that kept any"


def test_all_masked_inputs_are_named(desk: Desk) -> None:
    verbs.deploy(desk.context, service_document("double@1"))
    log = open_log(desk.settings.home, "replica", {})
    trace = Trace("two", service="twice", revision=1, status=200, rows=2)
    log.offer(Taken(trace, desk.clock.now(), 1.0, Private.of(["x", "z"], []), {"x": ROWS, "z": ROWS}, {}, 100))
    log.close()
    _fails(desk, "two", Conflict, "inputs 'x', 'z' of twice are masked, .*; name them under payloads.private.encrypt")
