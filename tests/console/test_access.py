"""Who may do what over HTTP: every call without a key, with one of too little scope, with a revoked one."""

from collections.abc import AsyncIterator

import httpx
import pytest

from aimass.accounts.keys import SCOPES, KeyRequest
from aimass.console.app import console_asgi
from aimass.control import keys
from aimass.testing.desk import Desk

CALLS = [
    ("GET", "/status", "read"),
    ("GET", "/platform", "read"),
    ("GET", "/services", "read"),
    ("GET", "/services/twice", "read"),
    ("POST", "/services", "deploy"),
    ("DELETE", "/services/twice", "deploy"),
    ("POST", "/services/twice/rollback", "deploy"),
    ("POST", "/services/twice/release", "deploy"),
    ("GET", "/services/twice/traffic", "read"),
    ("PUT", "/services/twice/traffic", "deploy"),
    ("POST", "/services/twice/rollout", "deploy"),
    ("GET", "/services/twice/rollout", "read"),
    ("POST", "/services/twice/rollout/promote", "deploy"),
    ("POST", "/services/twice/rollout/pause", "deploy"),
    ("POST", "/services/twice/rollout/resume", "deploy"),
    ("POST", "/services/twice/rollout/abort", "deploy"),
    ("GET", "/services/twice/shadows", "read"),
    ("PUT", "/services/twice/shadows", "deploy"),
    ("DELETE", "/services/twice/shadows", "deploy"),
    ("GET", "/services/twice/feedback", "read"),
    ("GET", "/services/twice/feedback/rows", "train"),
    ("GET", "/services/twice/feedback/weights", "read"),
    ("GET", "/services/twice/explain", "read"),
    ("POST", "/explain", "read"),
    ("GET", "/services/twice/graph", "read"),
    ("POST", "/graph", "read"),
    ("GET", "/status/desired", "read"),
    ("PUT", "/gateway/size", "admin"),
    ("GET", "/models", "read"),
    ("GET", "/models/double", "read"),
    ("POST", "/models/double/versions", "train"),
    ("POST", "/models/double/versions/1/halve", "train"),
    ("POST", "/models/double/versions/1/quantize", "train"),
    ("PUT", "/models/double/aliases/gold", "train"),
    ("DELETE", "/models/double/aliases/gold", "train"),
    ("DELETE", "/models/double/versions/1", "train"),
    ("POST", "/artifacts/sweep", "admin"),
    ("POST", "/runs", "train"),
    ("GET", "/runs", "read"),
    ("GET", "/runs/run-1", "read"),
    ("GET", "/runs/run-1/logs", "read"),
    ("GET", "/runs/run-1/report", "read"),
    ("POST", "/runs/run-1/cancel", "train"),
    ("GET", "/keys", "admin"),
    ("POST", "/keys", "admin"),
    ("DELETE", "/keys/key-1", "admin"),
    ("GET", "/logs", "read"),
    ("GET", "/requests/request-1", "read"),
    ("POST", "/requests/request-1/replay", "deploy"),
    ("GET", "/payloads", "read"),
    ("GET", "/payloads/stored", "deploy"),
    ("DELETE", "/payloads", "deploy"),
]


@pytest.fixture
async def http(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(console_asgi(desk.context), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://console/api/v1") as client:
        yield client


def bearer(desk: Desk, *scopes: str) -> dict[str, str]:
    return {"authorization": "Bearer " + keys.create(desk.context, KeyRequest("k", scopes))["secret"]}


@pytest.mark.parametrize(("method", "path", "scope"), CALLS)
async def test_every_call_needs_a_key_of_its_scope(
    desk: Desk, http: httpx.AsyncClient, method: str, path: str, scope: str
) -> None:
    wrong = ["predict"] + (["read"] if scope != "read" else [])
    for headers, status, kind in (
        ({}, 401, "unauthenticated"),
        ({"authorization": "Bearer aim_nonsense"}, 401, "unauthenticated"),
        ({"authorization": "Basic YTpi"}, 401, "unauthenticated"),
        (bearer(desk, *wrong), 403, "denied"),
    ):
        answer = await http.request(method, path, headers=headers, json={})
        assert (answer.status_code, answer.json()["kind"]) == (status, kind)
        assert answer.json()["request_id"] == answer.headers["x-aimass-request-id"]
    allowed = await http.request(method, path, headers=bearer(desk, scope), json={})
    assert allowed.status_code not in (401, 403)


async def test_the_list_of_calls_above_is_complete(desk: Desk, http: httpx.AsyncClient) -> None:
    spec = (await http.get("/openapi.json")).json()
    described = {(method.upper(), path) for path, verbs in spec["paths"].items() for method in verbs}
    names = {"twice": "{name}", "double": "{name}", "gold": "{alias}", "run-1": "{run_id}", "key-1": "{key_id}"}
    names |= {"request-1": "{request_id}", "stored": "{service}"}
    known = set()
    for method, path, scope in CALLS:
        parts = [names.get(part, "{number}" if part == "1" else part) for part in path.split("/")]
        known.add((method, "/api/v1" + "/".join(parts)))
        verb = spec["paths"]["/api/v1" + "/".join(parts)][method.lower()]
        assert scope in verb["description"].rpartition("Needs the scope ")[2].rstrip(".").split(" or ")
    assert described == known
    assert all(verb.get("summary") for verbs in spec["paths"].values() for verb in verbs.values())


async def test_a_revoked_and_an_expired_key_open_nothing(desk: Desk, http: httpx.AsyncClient) -> None:
    made = keys.create(desk.context, KeyRequest("k", ("read",), expires_at=desk.clock.now() + 10))
    headers = {"authorization": f"Bearer {made['secret']}"}
    assert (await http.get("/services", headers=headers)).status_code == 200
    desk.clock.advance(11)
    expired = await http.get("/services", headers=headers)
    assert (expired.status_code, "expired" in expired.json()["error"]) == (401, True)
    other = keys.create(desk.context, KeyRequest("k", ("read",)))
    keys.revoke(desk.context, other["id"])
    revoked = await http.get("/services", headers={"authorization": f"Bearer {other['secret']}"})
    assert (revoked.status_code, revoked.headers["www-authenticate"]) == (401, "Bearer")
    assert "revoked" in revoked.json()["error"]


async def test_who_did_it_is_on_record(desk: Desk, http: httpx.AsyncClient) -> None:
    headers = bearer(desk, "train")
    await http.put("/models/double/aliases/gold", headers=headers, json={"version": 1, "why": "try"})
    history = (await http.get("/models/double", headers=headers)).json()["history"]
    assert history[-1]["who"].startswith("k (key-")


async def test_every_scope_that_a_key_may_have_opens_something(http: httpx.AsyncClient) -> None:
    spec = (await http.get("/openapi.json")).json()
    offered = spec["components"]["schemas"]["KeyBody"]["properties"]["scopes"]["description"]
    assert offered == f"Of {', '.join(SCOPES)}."
    calls = {"predict", "feedback"}  # the other door's
    assert set(SCOPES) == calls | {scope for _, _, scope in CALLS}


async def test_health_answers_who_only_asks_for_its_head(http: httpx.AsyncClient) -> None:
    answer = await http.head("http://console/-/healthz")
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len("success")))
