"""Labels and rewards over HTTP: what is taken, what each bad one is told, and what is in the database afterwards."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from aimass.control.feedback.taking import Taking, waiting_bytes
from aimass.core.clock import ManualClock, SystemClock
from aimass.core.home import Home
from aimass.core.settings import Settings
from aimass.database.engine import Database, open_database
from aimass.database.feedback_tables import FeedbackRow
from aimass.database.migrate import migrate
from aimass.gateway.app import CALLS
from aimass.gateway.feedback.opening import OpenFeedback
from aimass.gateway.metrics import render
from aimass.monitoring.feedback.quality import Quality, quality
from aimass.serving.loader import LoadedPlan
from aimass.testing.gateway import INFER, ROWS, Gateway, body, connect, key, real_plan, scores

ALL = ("predict", "feedback")
PATH = "/v2/feedback"
OTHERS = {"authorization": "Bearer aim_other"}
LABELS = [int(label) for label in scores(ROWS).argmax(axis=1)]


def _open(gateway: Gateway, plan: LoadedPlan) -> OpenFeedback:
    found = OpenFeedback(gateway.app, Settings(home=Home(gateway.folder)), "replica", gateway.clock)
    other = key("key-2", "aim_other", scopes=ALL)
    gateway.serve(plan, key(scopes=ALL), type(other)(**{**vars(other), "account": "other"}), key("key-3", "aim_poor"))
    return found


@pytest.fixture(params=["memory", "direct"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def client(way: str, gateway: Gateway, plan: LoadedPlan) -> AsyncIterator[httpx.AsyncClient]:
    opened = _open(gateway, plan)
    async with connect(gateway.app, way) as made:
        yield made
    opened.close()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = open_database(f"sqlite:///{tmp_path}/aimass.db")
    migrate(found)
    return found


async def _predict(client: httpx.AsyncClient) -> str:
    answer = await client.post(INFER, json=body())
    assert answer.json()["outputs"][0]["data"] == LABELS
    return str(answer.headers["x-aimass-request-id"])


def _take(folder: Path, database: Database) -> None:
    taking = Taking(database, Settings(home=Home(folder)), SystemClock())
    while taking.step():
        pass


async def test_a_batch_counts_and_each_bad_item_fails_only_itself(
    client: httpx.AsyncClient, gateway: Gateway, database: Database
) -> None:
    one = await _predict(client)
    two = await _predict(client)
    wrong = (LABELS[0] + 1) % 3
    items: list[Any] = [
        {"request_id": one, "row": 0, "label": LABELS[0]},
        {"request_id": one, "row": 1, "label": wrong if wrong != LABELS[1] else (wrong + 1) % 3},
        {"request_id": two, "row": 1, "reward": 0.5, "idempotency_key": "click-1"},
        {"request_id": two, "row": 2, "label": 1},
        {"request_id": two, "row": 0, "label": "setosa"},
        {"request_id": two, "row": 0, "label": True},
        {"request_id": two, "row": 0, "label": 1, "reward": 1.0},
        {"request_id": two, "row": 0},
        {"request_id": two, "label": 1},
        {"request_id": "f" * 27, "row": 0, "label": 1},
        {"request_id": two, "row": 0, "label": 1, "colour": "red"},
        {"request_id": two, "row": "0", "label": 1},
        {"request_id": two, "row": 0, "label": 1, "idempotency_key": 5},
        "label",
    ]
    answer = await client.post(PATH, json={"items": items})
    assert answer.status_code == 202
    said = answer.json()
    assert (said["accepted"], said["refused"]) == (3, len(items) - 3)
    accepted = {"status": "accepted", "revision": 1}
    assert said["items"][:3] == [
        {"request_id": one, "row": 0, **accepted},
        {"request_id": one, "row": 1, **accepted},
        {"request_id": two, "row": 1, **accepted},
    ]
    assert [(item["kind"], item["field"]) for item in said["items"][3:]] == [
        ("invalid", "row"),
        ("invalid", "label"),
        ("invalid", "label"),
        ("invalid", "label"),
        ("invalid", "label"),
        ("invalid", "row"),
        ("not_found", "request_id"),
        ("invalid", "colour"),
        ("invalid", "row"),
        ("invalid", "idempotency_key"),
        ("invalid", "items"),
    ]
    again = await client.post(PATH, json=items[:3])
    assert again.json()["accepted"] == 3
    assert waiting_bytes(database, Home(gateway.folder)) > 0
    _take(gateway.folder, database)
    assert waiting_bytes(database, Home(gateway.folder)) == 0
    with database.reading() as session:
        assert quality(session, "iris") == {1: Quality("iris", 1, 2, 1, 1, 0.5, 0.25)}


@pytest.mark.parametrize(
    ("sent", "status", "field"),
    [
        (b'{"request_id": "%b", "row": 0, "reward": 1e200}', 400, "reward"),
        (b'{"request_id": "%b", "row": 0, "reward": 1e999}', 400, "body"),
        (b'{"request_id": "%b", "row": 0, "reward": NaN}', 400, "body"),
        (b'{"request_id": "%b", "row": 0, "reward": true}', 400, "reward"),
        (b'{"request_id": "%b", "row": -1, "reward": 1}', 400, "row"),
        (b'{"request_id": "%b", "row": 0, "label": 1.0}', 400, "label"),
        (b'{"request_id": "%b", "row": 0, "label": 9223372036854775808}', 400, "label"),
        (b'{"request_id": "%b", "row": 0, "label": null}', 400, "label"),
        (b'{"request_id": "%b", "row": 0, "label": 1, "idempotency_key": "a\\u0000b"}', 400, "idempotency_key"),
        (b'{"request_id": "%b", "row": 0, "label": 1, "idempotency_key": "a\\nb"}', 400, "idempotency_key"),
        (b'{"request_id": "%b", "row": 0, "label": 1, "idempotency_key": "a\\u0085"}', 400, "idempotency_key"),
        (b'{"request_id": "%b", "row": 0, "label": 1, "idempotency_key": null}', 400, "idempotency_key"),
        (
            b'{"request_id": "%b", "row": 0, "label": 1, "idempotency_key": "' + b"k" * 129 + b'"}',
            400,
            "idempotency_key",
        ),
        (b'{"request_id": "%b", "row": 0, "label": [1]}', 400, "label"),
        (b'{"request_id": "%b", "row": 0, "label": {"class": 1}}', 400, "label"),
        (b'{"request_id": "%b", "row": 0, "label": 18446744073709551616}', 400, "label"),
        (b'{"request_id": "%b", "row": 0, "label": "' + b"x" * 257 + b'"}', 400, "label"),
        (b'{"request_id": "%b", "row": 0, "reward": "1"}', 400, "reward"),
        (b'{"request_id": "%b", "row": 0, "reward": null}', 400, "reward"),
        (b'{"request_id": "%b", "row": 0, "reward": -Infinity}', 400, "body"),
        (b'{"request_id": "%b", "row": true, "label": 1}', 400, "row"),
        (b'{"request_id": "%b", "row": 0.0, "label": 1}', 400, "row"),
        (b'{"request_id": "%b", "row": 2, "label": 1}', 400, "row"),
        (b'{"request_id": "%b", "row": 18446744073709551615, "label": 1}', 400, "row"),
        (b'{"request_id": 7, "row": 0, "label": 1}', 400, "request_id"),
        (b'{"request_id": "%b\\u0000", "row": 0, "label": 1}', 404, "request_id"),
        (b'{"row": 0, "label": 1}', 400, "request_id"),
        (b'{"request_id": "%b0", "row": 0, "label": 1}', 404, "request_id"),
        (b'{"items": [], "row": "%b"}', 400, "row"),
        (b"[]", 400, "items"),
        (b"7", 400, "items"),
        (b"", 400, "body"),
    ],
)
async def test_a_bad_item_alone_is_told_what_is_wrong(
    client: httpx.AsyncClient, sent: bytes, status: int, field: str
) -> None:
    request_id = await _predict(client)
    answer = await client.post(PATH, content=sent.replace(b"%b", request_id.encode()))
    assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert 10 < len(answer.json()["error"]) < 200
    assert "\n" not in answer.json()["error"]


async def test_of_a_name_that_is_there_twice_the_last_counts_as_in_every_call(
    client: httpx.AsyncClient, gateway: Gateway, database: Database
) -> None:
    request_id = await _predict(client)
    twice = f'{{"request_id": "{request_id}", "row": 1, "label": "no", "row": 0, "label": {LABELS[0]}}}'
    answer = await client.post(PATH, content=twice)
    assert (answer.status_code, answer.json()["items"][0]["row"]) == (202, 0)
    _take(gateway.folder, database)
    with database.reading() as session:
        assert quality(session, "iris")[1].right == 1


async def test_another_accounts_answer_is_as_unknown_as_any(client: httpx.AsyncClient) -> None:
    request_id = await _predict(client)
    item = {"request_id": request_id, "row": 0, "label": 1}
    theirs = await client.post(PATH, json=item, headers=OTHERS)
    unknown = await client.post(PATH, json={**item, "request_id": "0" * 27}, headers=OTHERS)
    assert theirs.status_code == unknown.status_code == 404
    assert theirs.json()["error"].replace(request_id, "") == unknown.json()["error"].replace("0" * 27, "")


async def test_the_scope_is_needed(client: httpx.AsyncClient) -> None:
    request_id = await _predict(client)
    sent = {"request_id": request_id, "row": 0, "label": 1}
    answer = await client.post(PATH, json=sent, headers={"authorization": "Bearer aim_poor"})
    assert (answer.status_code, answer.json()["kind"]) == (403, "denied")
    assert (await client.get(PATH)).status_code == 405


async def test_too_many_at_once(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json=[0] * 1001)
    assert (answer.status_code, answer.json()["field"]) == (413, "items")


async def test_what_the_disk_does_not_take_is_not_acknowledged(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = await _predict(client)
    items = [{"request_id": request_id, "row": row, "label": LABELS[row]} for row in range(2)]
    write = os.write

    def fill(descriptor: int, data: bytes) -> int:
        """Takes one line and a half of feedback."""
        return write(descriptor, data[: len(data) * 3 // 4] if b'"received_at"' in data else data)

    monkeypatch.setattr(os, "write", fill)
    said = (await client.post(PATH, json=items)).json()
    assert [item["status"] for item in said["items"]] == ["accepted", "refused"]
    assert said["items"][1]["kind"] == "unavailable"

    def refuse(descriptor: int, data: bytes) -> int:
        if b'"received_at"' in data:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", refuse)
    answer = await client.post(PATH, json=items)
    assert (answer.status_code, answer.json()["kind"]) == (503, "unavailable")


async def test_a_receipt_that_the_disk_does_not_take_is_counted_and_fails_no_call(
    gateway: Gateway, plan: LoadedPlan
) -> None:
    (gateway.folder / "receipts").write_text("no folder")
    opened = _open(gateway, plan)
    async with connect(gateway.app) as client:
        request_id = await _predict(client)
        answer = await client.post(PATH, json={"request_id": request_id, "row": 0, "label": 1})
    assert (answer.status_code, answer.json()["kind"]) == (503, "unavailable")
    gateway.metrics.receipts_lost = opened.lost
    assert b"aimass_receipts_lost_total 1.0" in render(gateway.metrics.snapshot(), 1)
    opened.close()


async def test_without_receipts_there_is_no_feedback_and_no_file(gateway: Gateway, plan: LoadedPlan) -> None:
    OpenFeedback(gateway.app, Settings(home=Home(gateway.folder), receipts_days=0), "replica", gateway.clock)
    gateway.serve(plan, key(scopes=ALL))
    async with connect(gateway.app) as client:
        request_id = await _predict(client)
        answer = await client.post(PATH, json={"request_id": request_id, "row": 0, "label": 1})
    assert answer.status_code == 404
    assert not (gateway.folder / "receipts").exists()


async def test_feedback_comes_days_later_after_the_replica_and_until_the_receipts_are_too_old(
    gateway: Gateway, plan: LoadedPlan, database: Database, tmp_path: Path
) -> None:
    opened = _open(gateway, plan)
    async with connect(gateway.app) as client:
        request_id = await _predict(client)
    opened.close()
    later = Gateway(gateway.folder, clock=ManualClock(gateway.clock.now() + 3 * 86400))
    opened = _open(later, plan)
    taking = Taking(database, Settings(home=Home(gateway.folder)), later.clock)
    taking.step()
    async with connect(later.app) as client:
        item = {"request_id": request_id, "row": 1, "label": LABELS[1]}
        assert (await client.post(PATH, json=item)).status_code == 202
        for path in (gateway.folder / "receipts").iterdir():
            os.utime(path, (1.0, 1.0))
        later.clock.advance(60)  # type: ignore[attr-defined]
        taking.step()
        assert (await client.post(PATH, json=item)).status_code == 404
    opened.close()
    with database.reading() as session:
        row = session.scalars(select(FeedbackRow)).one()
        assert row.received_at - row.answered_at == pytest.approx(3 * 86400, abs=60)
        assert quality(session, "iris")[1].right == 1


async def test_ids_that_begin_anew_after_so_many_calls_are_found_as_before(
    gateway: Gateway, plan: LoadedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = _open(gateway, plan)
    monkeypatch.setattr(gateway.app, "_count", CALLS - 2)
    async with connect(gateway.app) as client:
        ids = [await _predict(client) for _ in range(4)]
        items = [{"request_id": request_id, "row": 0, "label": LABELS[0]} for request_id in ids]
        assert (await client.post(PATH, json=items)).json()["accepted"] == 4
    assert len(set(ids)) == 4
    assert [request_id[19:] for request_id in ids] == ["7fffffff", "80000000", "00000001", "00000002"]
    assert len({request_id[:19] for request_id in ids}) == 2
    assert len(list((gateway.folder / "receipts").iterdir())) == 2
    assert opened.lost == 0
    opened.close()


CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_feedback_door import give_for_ever
asyncio.run(give_for_ever(Path(sys.argv[1])))
"""


async def give_for_ever(folder: Path) -> None:
    """Predicts and labels; says each request that was acknowledged."""
    made = Gateway(folder)
    (folder / "model").mkdir()
    _open(made, real_plan(folder / "model"))
    async with connect(made.app) as client:
        while True:
            request_id = await _predict(client)
            items = [{"request_id": request_id, "row": row, "label": LABELS[row]} for row in range(2)]
            assert (await client.post(PATH, json=items)).status_code == 202
            print(request_id, flush=True)


def test_what_was_acknowledged_outlives_a_killed_replica(tmp_path: Path, database: Database) -> None:
    said = []
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            said.append(line.strip())
            if len(said) == 20:
                child.send_signal(signal.SIGKILL)
                break
        said += [line.strip() for line in child.stdout if line.endswith("\n")]
    _take(tmp_path, database)
    with database.reading() as session:
        stored = set(session.scalars(select(FeedbackRow.request_id)))
        found = quality(session, "iris")[1]
    assert len(said) >= 20
    assert set(said) <= stored
    assert found.labelled == found.right >= 40
    assert list((tmp_path / "feedback").iterdir()) == []  # its owner is gone, and all of it is stored
