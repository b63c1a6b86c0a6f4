"""The control API as a whole: a thread from a file to a deployed service, and every kind of bad input."""

import builtins
import json
import logging
import re
from collections.abc import AsyncIterator
from logging import FileHandler
from typing import Any

import httpx
import pytest

from aimass.console.app import console_asgi
from aimass.core.settings import Settings
from aimass.gateway.door import Door
from aimass.monitoring.process_log import keep_log
from aimass.testing.desk import Desk, service_document, times


@pytest.fixture
async def http(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(console_asgi(desk.context), raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {desk.settings.home.key_file.read_text().strip()}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://console/api/v1", headers=headers) as client:
        yield client


async def answered(call: Any) -> Any:
    answer = await call
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_from_a_file_to_a_service_and_back(desk: Desk, http: httpx.AsyncClient) -> None:
    for number, factor in ((1, 3.0), (2, 5.0)):
        added = await answered(http.post("/models/m/versions", files={"file": ("m.onnx", times(factor))}))
        assert added["number"] == number
    await answered(http.put("/models/m/aliases/champion", json={"version": 1}))
    done = await answered(http.post("/services", json={"document": service_document("m@champion")}))
    assert (done["revision"], desk.answer("twice")) == (1, (1, 3.0))
    await answered(http.put("/models/m/aliases/champion", json={"version": 2, "why": "better"}))
    await answered(http.post("/services", json={"document": service_document("m@champion")}))
    assert desk.answer("twice") == (2, 5.0)
    assert (await answered(http.get("/services/twice/explain")))["revision"] == 2
    assert (await answered(http.get("/services/twice/graph")))["revision"] == 2
    body = {"document": service_document("m@champion"), "name": "twice.yaml"}
    assert [box["name"] for box in (await answered(http.post("/graph", json=body)))["boxes"]] == ["x", "m", "y"]
    shadow = {"node": "m", "model": "double@1", "share": 10}
    assert (await answered(http.put("/services/twice/shadows", json=shadow)))["shadow"] == "m=double@1"
    assert [item["share"] for item in (await answered(http.get("/services/twice/shadows")))["shadows"]] == [10]
    assert len(await answered(http.delete("/services/twice/shadows", params={"node": "m", "model": "double@1"}))) == 1
    await answered(http.post("/services/twice/rollback"))
    assert desk.answer("twice") == (1, 3.0)
    listed = await answered(http.get("/services", params={"usage": "true"}))
    assert [(item["name"], item["revision"], item["usage"]) for item in listed] == [("twice", 1, [])]
    await answered(http.delete("/services/twice"))
    assert await answered(http.get("/services")) == []
    assert (await answered(http.post("/artifacts/sweep", json={"dry_run": True})))["deleted"] is False
    await answered(http.delete("/models/m/aliases/champion"))
    await answered(http.delete("/models/m/versions/1"))
    assert [item["name"] for item in await answered(http.get("/models"))] == ["double", "m"]


@pytest.mark.parametrize(
    ("method", "path", "body", "refusal"),
    [
        ("POST", "/services", b"{", (400, "invalid", "")),
        ("POST", "/services", b"[]", (400, "invalid", "")),
        ("POST", "/services", b"{}", (400, "invalid", "document")),
        ("POST", "/services", b'{"document": 1}', (400, "invalid", "document")),
        ("POST", "/services", b'{"document": "", "colour": 1}', (400, "invalid", "colour")),
        ("POST", "/services", b'{"document": "- a"}', (400, "invalid", "")),
        ("POST", "/services", b'{"document": "a: [\\n"}', (400, "invalid", "")),
        ("POST", "/services/none/rollback", b"", (404, "not_found", "")),
        ("DELETE", "/services/none", b"", (404, "not_found", "")),
        ("GET", "/services/none", b"", (404, "not_found", "")),
        ("GET", "/services/none/shadows", b"", (404, "not_found", "")),
        ("PUT", "/services/none/shadows", b'{"revision": 1, "share": 10}', (404, "not_found", "")),
        ("PUT", "/services/none/shadows", b'{"revision": 1, "share": 0}', (400, "invalid", "share")),
        ("PUT", "/services/none/shadows", b'{"revision": 1}', (400, "invalid", "share")),
        ("GET", "/services/none/explain", b"", (404, "not_found", "")),
        ("GET", "/models/none", b"", (404, "not_found", "")),
        ("DELETE", "/models/double/versions/9", b"", (404, "not_found", "")),
        ("DELETE", "/models/double/versions/1", b"", (409, "conflict", "")),
        ("DELETE", "/models/double/versions/x", b"", (400, "invalid", "number")),
        ("PUT", "/models/double/aliases/gold", b'{"version": 0}', (400, "invalid", "version")),
        ("PUT", "/models/double/aliases/gold", b'{"version": 9}', (404, "not_found", "")),
        ("PUT", "/models/double/aliases/9", b'{"version": 1}', (400, "invalid", "alias")),
        ("POST", "/models/m/versions", b"x", (400, "invalid", "file")),
        ("POST", "/runs", b'{"recipe": "a: 1"}', (400, "invalid", "a")),
        ("GET", "/runs/none", b"", (404, "not_found", "")),
        ("GET", "/runs/none/logs", b"", (404, "not_found", "")),
        ("POST", "/keys", b'{"name": "a", "scopes": ["root"]}', (400, "invalid", "scopes")),
        ("DELETE", "/keys/none", b"", (404, "not_found", "id")),
        ("GET", "/logs?lines=-1", b"", (400, "invalid", "lines")),
        ("GET", "/nothing", b"", (404, "not_found", "")),
        ("PATCH", "/keys", b"", (405, "invalid", "")),
    ],
)
async def test_bad_input_is_told_in_one_form(
    http: httpx.AsyncClient, method: str, path: str, body: bytes, refusal: tuple[int, str, str]
) -> None:
    answer = await http.request(method, path, content=body)
    said = answer.json()
    assert (answer.status_code, said["kind"], said["field"] or "") == refusal, said
    assert said["error"]
    assert said["request_id"] == answer.headers["x-aimass-request-id"]
    assert (await http.get("/services")).status_code == 200, "the next good request is answered"


async def test_a_bad_document_is_told_with_line_and_field(http: httpx.AsyncClient) -> None:
    bad = {"document": service_document("double@gold"), "name": "mine.yaml"}
    for path in ("/services", "/explain"):
        said = (await http.post(path, json=bad)).json()
        assert said["field"] == "graph.nodes.m.model"
        assert said["error"].startswith("mine.yaml:5: ")
    assert (await http.get("/services")).json() == []


async def test_a_body_over_the_limit_is_refused(desk: Desk) -> None:
    small = Settings(home=desk.settings.home, max_body_bytes=1024)
    context = desk.context.by("a", desk.context.account)
    object.__setattr__(context, "settings", small)
    key = desk.settings.home.key_file.read_text().strip()

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 1000

    transport = httpx.ASGITransport(console_asgi(context))
    async with httpx.AsyncClient(transport=transport, base_url="http://console/api/v1") as http:
        for content in (b" " * 3000, unannounced()):
            answer = await http.post("/services", content=content, headers={"authorization": f"Bearer {key}"})
            assert (answer.status_code, answer.json()["kind"]) == (413, "too_large")


async def test_a_failure_of_ours_is_a_500_without_its_inner_life(
    desk: Desk, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("secret inner life")

    monkeypatch.setattr(desk.pusher, "overview", broken)
    answer = await http.get("/status")
    assert (answer.status_code, answer.json()["kind"]) == (500, "bug")
    assert "secret inner life" not in answer.text
    (logged,) = [json.loads(line) for line in (await http.get("/logs")).text.splitlines()]
    assert (logged["request_id"], logged["status"]) == (answer.json()["request_id"], 500)
    assert "secret inner life" in logged["error"]


async def test_a_failure_of_ours_leaves_its_traceback_and_the_connection(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("secret inner life")

    def serves_own(*words: object, file: Any = None, **_: Any) -> None:
        file.write(str(words))

    monkeypatch.setattr(desk.pusher, "overview", broken)
    monkeypatch.setattr(builtins, "print", serves_own)
    path = keep_log(desk.settings.home.logs, "console")
    door = Door(console_asgi(desk.context), "127.0.0.1", 0)
    await door.open()
    headers = {"authorization": f"Bearer {desk.settings.home.key_file.read_text().strip()}"}
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}/api/v1", headers=headers) as http:
            answer = await http.get("/status")
            assert answer.status_code == 500
            assert (await http.get("/models")).status_code == 200
            assert door.connections == 1, "one connection has served both"
    finally:
        await door.close(0)
        for handler in [item for item in logging.getLogger("aimass").handlers if isinstance(item, FileHandler)]:
            logging.getLogger("aimass").removeHandler(handler)
            handler.close()
    written = path.read_text()
    assert f"request {answer.json()['request_id']} failed" in written
    assert '\n    raise RuntimeError("secret inner life")\nRuntimeError: secret' in written


async def test_logs_come_as_json_lines(desk: Desk, http: httpx.AsyncClient) -> None:
    folder = desk.settings.home.logs
    folder.mkdir()
    (folder / "requests-a.jsonl").write_text('{"at": 2, "service": "b"}\n{"at": 3, "service": "a"}\n')
    (folder / "requests-b.jsonl").write_text('{"at": 1, "service": "a"}\n')
    assert [line for line in (await http.get("/logs?service=a")).text.splitlines()] == [
        '{"at": 1, "service": "a"}',
        '{"at": 3, "service": "a"}',
    ]


async def test_every_link_of_the_start_page_leads_somewhere(http: httpx.AsyncClient) -> None:
    page = await http.get("http://console/", headers={"authorization": ""})
    links = re.findall(r'href="(/[^"]*)"', page.text)
    assert len(links) == 3
    for link in links:
        assert (await http.get(f"http://console{link}", headers={"authorization": ""})).status_code == 200


async def test_the_page_of_the_api_needs_nothing_from_elsewhere(http: httpx.AsyncClient) -> None:
    page = await http.get("http://console/docs", headers={"authorization": ""})
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assets = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(assets) == 3
    for path in (*assets, "/api/v1/openapi.json"):
        assert path.startswith("/") and path.strip('"') in page.text
        answer = await http.get(f"http://console{path}", headers={"authorization": ""})
        assert answer.status_code == 200
        assert len(answer.content) > 500
    assert "http://" not in page.text and "https://" not in page.text
    assert (await http.get("http://console/docs/main.py")).status_code == 404


async def test_the_description_says_how_calls_are_refused(http: httpx.AsyncClient) -> None:
    spec = (await http.get("/openapi.json")).json()
    answers = [set(verb["responses"]) for verbs in spec["paths"].values() for verb in verbs.values()]
    assert all(statuses == {"200", "4XX", "5XX"} for statuses in answers)
    refused = (await http.get("/services/none")).json()
    assert set(spec["components"]["schemas"]["ErrorBody"]["properties"]) == set(refused)
