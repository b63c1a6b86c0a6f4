"""Over HTTP a key opens what is its own account's only: calls, services and all that belongs to them, runs, models."""

import json
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest

from aimass.accounts.keys import KeyRequest
from aimass.console.app import console_asgi
from aimass.control import deploy as verbs
from aimass.control import keys
from aimass.core.events import Trace
from aimass.core.ids import AccountId
from aimass.database.tables import RunRow
from aimass.monitoring.payloads.log import Taken, open_log
from aimass.monitoring.payloads.secrets import Private
from aimass.monitoring.payloads.spill import FOLDER, set_aside
from aimass.monitoring.recorder import Recorder
from aimass.testing.desk import Desk, service_document, times

SCOPES = ["predict", "feedback", "read", "deploy", "train"]  # all but admin
MINE = "mine-1"


@pytest.fixture
async def http(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(console_asgi(desk.context))
    async with httpx.AsyncClient(transport=transport, base_url="http://console/api/v1") as client:
        yield client


def _bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def _keys(desk: Desk) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Of the service's account, of another, and the operator's."""
    wanted = KeyRequest("k", tuple(SCOPES))
    mine, eves = (keys.create(desk.context, wanted, account)["secret"] for account in ("", "eve"))
    return _bearer(mine), _bearer(eves), _bearer(desk.settings.home.key_file.read_text().strip())


def _keep(desk: Desk) -> None:
    log = open_log(desk.settings.home, "replica", {})
    trace = Trace(MINE, service="twice", revision=1, status=200, rows=1, account="default", key_id="key-mine")
    log.offer(Taken(trace, desk.clock.now(), 1.0, Private(), {"x": np.ones((1, 2), np.float32)}, {}, 100))
    log.close()


async def test_another_accounts_key_neither_sees_nor_removes_payloads(desk: Desk, http: httpx.AsyncClient) -> None:
    verbs.deploy(desk.context, service_document("double@1"))
    _keep(desk)
    mine, eves, operators = _keys(desk)
    assert (await http.get("/payloads", headers=eves)).json() == []
    assert (await http.delete("/payloads", headers=eves)).json()["bytes"] == 0
    for method, path in (
        ("GET", "/payloads?service={}"),
        ("DELETE", "/payloads?service={}"),
        ("GET", "/payloads/{}"),
        ("GET", "/requests/{}"),
        ("POST", "/requests/{}/replay"),
    ):
        name, unknown = ("twice", "nobody") if "payloads" in path else (MINE, "nobody-1")
        refused = await http.request(method, path.format(name), headers=eves)
        absent = await http.request(method, path.format(unknown), headers=eves)
        assert (refused.status_code, refused.json()["kind"]) == (404, "not_found"), (method, path)
        assert refused.json()["error"] == absent.json()["error"].replace(unknown, name), "it does not say that it is"
    for headers in (mine, operators):
        kept = await http.get("/payloads/twice", headers=headers)
        assert (kept.status_code, kept.content[:4]) == (200, b"PAR1")
        assert (await http.get(f"/requests/{MINE}", headers=headers)).json()["account"] == "default"
    desk.clock.advance(1)
    await http.delete("/payloads", headers=mine)
    assert (await http.get("/payloads/twice", headers=mine)).status_code == 404


async def test_what_was_set_aside_is_an_operators_to_remove(desk: Desk, http: httpx.AsyncClient) -> None:
    aside = desk.settings.home.payloads / FOLDER / "1.part.aside"
    aside.parent.mkdir(parents=True)
    aside.write_bytes(b"nobody can say whose")
    assert set_aside(aside.parent) == [aside]
    mine, eves, operators = _keys(desk)
    for who, stays in ((eves, True), (mine, True), (operators, False)):
        assert (await http.delete("/payloads", headers=who)).status_code == 200
        assert aside.exists() is stays


async def test_logs_are_of_the_accounts_keys_and_of_its_services(desk: Desk, http: httpx.AsyncClient) -> None:
    mine, eves, operators = _keys(desk)
    verbs.deploy(desk.context, service_document("double@1"))
    verbs.deploy(desk.context.by("eve", AccountId("eve")), service_document("double@1", "hers"))
    calls = {  # request id → service, and the account of the key
        "mine": ("twice", "default"),
        "lent": ("twice", "eve"),
        "hers": ("hers", "eve"),
        "borrowed": ("hers", "default"),
        "keyless": ("twice", ""),
        "wrong": ("nobody", "eve"),
        "nobodys": ("", ""),
    }
    recorder = Recorder(desk.settings.home.logs, "replica", 50.0, desk.clock)
    for request_id, (service, account) in calls.items():
        desk.clock.advance(1)
        recorder.record(Trace(request_id, service=service, status=200, account=account))
    recorder.flush()

    async def seen(headers: dict[str, str], query: str = "") -> list[str]:
        lines = (await http.get(f"/logs{query}", headers=headers)).text.splitlines()
        return [json.loads(line)["request_id"] for line in lines]

    assert await seen(mine) == ["mine", "lent", "borrowed", "keyless"]
    assert await seen(eves) == ["lent", "hers", "borrowed", "wrong"]
    assert await seen(operators) == list(calls)
    assert await seen(eves, "?service=twice") == ["lent"]
    assert await seen(eves, "?lines=1") == ["wrong"]


async def test_another_accounts_service_is_as_if_it_were_not_there(desk: Desk, http: httpx.AsyncClient) -> None:
    verbs.deploy(desk.context, service_document("double@1"))
    _, eves, operators = _keys(desk)
    paths = (await http.get("/openapi.json")).json()["paths"]
    tried = 0
    for path, methods in paths.items():
        at = path.removeprefix("/api/v1")
        if not at.startswith("/services/{name}"):
            continue
        for method in methods:
            refused, absent = [
                await http.request(method, at.replace("{name}", name), headers=eves, json={})
                for name in ("twice", "nobody")
            ]
            assert (refused.status_code, refused.json()["kind"]) == (404, "not_found"), (method, path)
            assert refused.json()["error"] == absent.json()["error"].replace("nobody", "twice")
            tried += 1
    assert tried > 15
    assert (await http.get("/services", headers=eves)).json() == []
    assert (await http.get("/status", headers=eves)).json()["services"] == []
    assert (await http.get("/status/desired", headers=eves)).json()["revisions"] == []
    stands = (await http.get("/services/twice", headers=operators)).json()
    assert stands["deployed"] and stands["weights"] == {"1": 100.0}, "nothing that was tried has changed it"
    taken = await http.post("/services", headers=eves, json={"document": service_document("double@1")})
    assert taken.status_code == 409 and "choose another name" in taken.json()["error"]


async def test_another_accounts_runs_are_hidden_and_its_models_stay(desk: Desk, http: httpx.AsyncClient) -> None:
    mine, eves, operators = _keys(desk)
    nothing = dict.fromkeys(("job", "error", "report", "proposal", "started_at", "finished_at"))
    run = {"recipe": "r", "recipe_text": "", "recipe_digest": "", "status": "failed", "created_at": 1.0}
    with desk.context.database.session() as session:
        session.add(RunRow(id="run-1", account="default", **run, **nothing))
    assert (await http.get("/runs", headers=eves)).json() == []
    for who in (mine, operators):
        assert [item["id"] for item in (await http.get("/runs", headers=who)).json()] == ["run-1"]
    for method, path in (("GET", ""), ("GET", "/logs"), ("GET", "/report"), ("POST", "/cancel")):
        refused = await http.request(method, f"/runs/run-1{path}", headers=eves)
        assert refused.status_code == 404 and "no run has the id 'run-1'" in refused.json()["error"], path
    for method, path, body in (
        ("PUT", "/models/double/aliases/gold", {"version": 1}),
        ("DELETE", "/models/double/aliases/champion", None),
        ("DELETE", "/models/double/versions/1", None),
    ):
        refused = await http.request(method, path, headers=eves, json=body)
        assert (refused.status_code, refused.json()["kind"]) == (403, "denied"), (method, path)
    assert (await http.get("/models/double", headers=mine)).json()["aliases"] == {"champion": 1}


async def test_an_operator_changes_what_is_anothers_and_it_stays_theirs(desk: Desk, http: httpx.AsyncClient) -> None:
    mine, eves, operators = _keys(desk)
    for who, status in ((eves, 200), (mine, 409), (operators, 200)):
        file = {"file": ("hers.onnx", times(3.0))}
        assert (await http.post("/models/hers/versions", headers=who, files=file)).status_code == status
    assert [(item["name"], item["account"]) for item in (await http.get("/models", headers=mine)).json()] == [
        ("double", "default"),
        ("hers", "eve"),
    ]
    for who, ref, revision in ((eves, "hers@1", 1), (mine, "hers@2", 0), (operators, "hers@2", 2)):
        document = {"document": service_document(ref, "hers")}
        answer = await http.post("/services", headers=who, json=document)
        assert answer.status_code == (409 if not revision else 200) and answer.json().get("revision", 0) == revision
    assert (await http.get("/services/hers", headers=eves)).json()["weights"] == {"2": 100.0}
    assert (await http.get("/services/hers", headers=mine)).status_code == 404


async def test_a_key_of_another_account_is_made_by_an_operator_only(desk: Desk, http: httpx.AsyncClient) -> None:
    mine, eves, operators = _keys(desk)
    wanted = {"name": "bob", "scopes": ["predict", "feedback"], "account": "bob"}
    for who in (mine, eves):
        assert (await http.post("/keys", headers=who, json=wanted)).status_code == 403
    made = (await http.post("/keys", headers=operators, json=wanted)).json()
    assert (made["account"], made["new_account"], made["scopes"]) == ("bob", True, ["predict", "feedback"])
    for account in ("Bob", "b b", "../bob"):
        refused = await http.post("/keys", headers=operators, json={**wanted, "account": account})
        assert (refused.status_code, refused.json()["field"]) == (400, "account")
    refused = await http.post("/keys", headers=operators, json={**wanted, "scopes": ["admin"]})
    assert (refused.status_code, refused.json()["field"]) == (400, "scopes")
