"""Both clients against a real HTTP server that answers as the protocol says."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import numpy as np
import pytest

from aimass.client import AsyncClient, Client, Control
from aimass.client.wire import LENGTH
from aimass.core.errors import Invalid, NotFound, Unauthenticated, Unavailable


class Doubling(BaseHTTPRequestHandler):
    """A service `double` (FP32 [-1, 2] → twice), and a piece of the control API."""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/v2/models/double":
            self._json(200, {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]})
        elif self.path == "/v2/models/double/ready":
            self._json(200, {})
        elif self.path == "/api/v1/services?usage=true":
            self._json(200, [{"service": "double"}])
        elif self.path == "/api/v1/platform":
            self._json(200, {"url": f"http://{self.headers['host']}"})
        elif self.path == "/api/v1/logs?follow=false&lines=2&service=double":
            self._bytes(200, b'{"status": 200}\n\n{"status": 404}\n', {})
        else:
            self._json(404, {"error": f"nothing at {self.path}", "kind": "not_found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["authorization"] != "Bearer good":
            self._json(401, {"error": "no key", "kind": "unauthenticated"})
            return
        if self.headers["accept-encoding"] != "identity":
            self._json(400, {"error": "packing costs more than it saves here", "kind": "invalid"})
            return
        length = int(self.headers[LENGTH])
        item = json.loads(body[:length])["inputs"][0]
        if item["shape"][1] != 2:
            self._json(400, {"error": "wrong shape", "kind": "invalid", "field": "x"})
            return
        twice = (np.frombuffer(body[length:], np.float32) * 2).tobytes()
        outputs = [{**item, "name": "y", "parameters": {"binary_data_size": len(twice)}}]
        head = json.dumps({"model_name": "double", "model_version": "4", "outputs": outputs}).encode()
        headers = {LENGTH: str(len(head)), "x-aimass-request-id": "r-1", "x-aimass-plan": "merged"}
        self._bytes(200, head + twice, headers)

    def _json(self, status: int, value: Any) -> None:
        self._bytes(status, json.dumps(value).encode(), {})

    def _bytes(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Doubling) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_numpy_in_numpy_out(url: str) -> None:
    with Client(url, "good") as client:
        answer = client.predict("double", np.array([[1.5, 2.0], [3.0, 4.0]]))
        np.testing.assert_array_equal(answer["y"], np.array([[3, 4], [6, 8]], np.float32))
        assert (answer.request_id, answer.revision, answer.plan, answer.service) == ("r-1", 4, "merged", "double")
        assert list(answer) == ["y"]
        assert client.ready("double")
        assert not client.ready("other")


async def test_the_same_awaited(url: str) -> None:
    async with AsyncClient(url, "good") as client:
        answer = await client.predict("double", {"x": [1.5, 2.0]})
        np.testing.assert_array_equal(answer["y"], np.array([[3, 4]], np.float32))
        assert await client.ready("double")
        with pytest.raises(NotFound):
            await client.predict("other", [1.0])


def test_errors_are_typed(url: str) -> None:
    with Client(url, "bad") as client, pytest.raises(Unauthenticated, match="no key"):
        client.predict("double", [1.0, 2.0])
    with Client(url, "good") as client, pytest.raises(Invalid, match="wrong shape") as caught:
        client.predict("double", np.zeros((1, 3)))
    assert caught.value.field == "x"


def test_nobody_there_is_unavailable() -> None:
    with Client("http://127.0.0.1:9", "good") as client, pytest.raises(Unavailable, match="nothing answers at"):
        client.ready("double")


def test_a_platform_known_by_its_control_api_is_asked_for_its_door(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIMASS_URL", url)
    monkeypatch.setenv("AIMASS_KEY", "good")
    with Client() as client:
        assert client.url == url
        assert client.predict("double", [1.0, 2.0])["y"].tolist() == [[2.0, 4.0]]


def test_control_speaks_json_and_lines(url: str) -> None:
    with Control(url, "good") as control:
        assert control.services(usage=True) == [{"service": "double"}]
        assert [event["status"] for event in control.logs("double", lines=2)] == [200, 404]
        with pytest.raises(NotFound, match="is no control API"):
            control.model("x")


@pytest.mark.parametrize("name", ["", "..", "a/b", "double/ready", "a?b", "a%2Fb", "Double"])
def test_what_is_no_name_never_becomes_a_path(name: str) -> None:
    def ask_nobody(*_: Any, **__: Any) -> None:
        raise AssertionError("a request was sent")

    with Client("http://127.0.0.1:9", "good") as client, Control("http://127.0.0.1:9", "good") as control:
        client._send = control._send = ask_nobody  # type: ignore[method-assign, assignment]
        for ask in (client.metadata, client.ready, control.service, control.undeploy, control.rollback, control.model):
            with pytest.raises(Invalid, match="lower-case letters"):
                ask(name)
        with pytest.raises(Invalid, match="alias name"):
            control.drop_alias("double", name)
        for find in (control.run, control.cancel_run, control.revoke_key, control.run_report):
            with pytest.raises(NotFound, match="has the id"):
                find(name)


def test_an_account_is_sent_only_where_one_is_named() -> None:
    sent: list[Any] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(201, json={})

    with Control("http://127.0.0.1:1", "good") as control:
        control._http = httpx.Client(base_url=control.url, transport=httpx.MockTransport(take))
        control.create_key("own", ["predict"])
        control.create_key("his", ["predict"], account="bob")
    assert [body.get("account", "unsaid") for body in sent] == ["unsaid", "bob"]
