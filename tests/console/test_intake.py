"""Bodies on a real socket: whose key is wrong sends in vain, who stalls or trickles is let go, and nothing is left."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aimass.accounts.keys import KeyRequest
from aimass.client.control import Control
from aimass.console import intake
from aimass.console.app import console_asgi
from aimass.control import keys
from aimass.core.errors import AimassError, Denied, TooLarge, Unauthenticated
from aimass.core.settings import Settings
from aimass.gateway.door import Door
from aimass.testing.desk import Desk, times

UPLOAD = "/api/v1/models/m/versions"


@pytest.fixture
async def door(desk: Desk) -> AsyncIterator[Door]:
    object.__setattr__(desk.context, "settings", Settings(home=desk.settings.home, max_upload_bytes=1024 * 1024))
    opened = Door(console_asgi(desk.context), "127.0.0.1", 0)
    await opened.open()
    yield opened
    await opened.close(0)


def secret(desk: Desk, *scopes: str) -> str:
    return str(keys.create(desk.context, KeyRequest("k", scopes))["secret"])


def head(key: str, length: int) -> bytes:
    lines = (f"POST {UPLOAD} HTTP/1.1", "host: a", "x-filename: m.onnx", f"authorization: Bearer {key}")
    return "\r\n".join((*lines, f"content-length: {length}", "", "")).encode()


async def status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


@pytest.mark.parametrize(("scopes", "expected"), [((), 401), (("read",), 403)])
async def test_a_bad_key_is_refused_while_the_body_is_still_to_come(
    desk: Desk, door: Door, scopes: tuple[str, ...], expected: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(head(secret(desk, *scopes) if scopes else "aim_nonsense", 1000))
    assert await status(reader) == expected
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert b"connection: close" in answer
    writer.write(b" " * 1000)
    assert b"request_id" in await reader.read()  # to the end: the connection is closed
    writer.close()


@pytest.mark.parametrize("path", ["/services", "/explain", "/runs", "/keys", "/artifacts/sweep", "/models/m/versions"])
async def test_no_call_takes_a_body_before_it_knows_the_key(desk: Desk, path: str) -> None:
    order: list[str] = []

    async def receive() -> Any:
        order.append("body")
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        order.append(message["type"])

    scope = {"type": "http", "method": "POST", "path": f"/api/v1{path}", "raw_path": b"", "query_string": b""}
    await console_asgi(desk.context)({**scope, "headers": [(b"content-length", b"2")]}, receive, send)
    assert order[0] == "http.response.start"


@pytest.mark.parametrize(
    ("key", "length", "error"),
    [("aim_nonsense", 1024, Unauthenticated), ("", 64 * 1024**2, Unauthenticated), ("train", 8 * 1024**2, TooLarge)],
)
async def test_who_sends_in_vain_still_hears_why(
    desk: Desk, door: Door, tmp_path: Path, key: str, length: int, error: type[AimassError]
) -> None:
    (tmp_path / "m.onnx").write_bytes(b" " * length)
    with Control(f"http://127.0.0.1:{door.port}", secret(desk, key) if key == "train" else key or "-") as control:
        with pytest.raises(error):
            await asyncio.to_thread(control.add_model, "m", tmp_path / "m.onnx")
        with pytest.raises((Denied, Unauthenticated)):
            await asyncio.to_thread(control.keys)


@pytest.mark.parametrize("pace", ["stalls", "trickles"])
async def test_a_slow_upload_ends_in_408_and_leaves_no_file(
    desk: Desk, door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pace: str
) -> None:
    monkeypatch.setattr(intake, "STALL_S" if pace == "stalls" else "UPLOAD_S", 0.2)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = sorted(desk.settings.home.artifacts.rglob("*"))
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    data = times(3.0)
    writer.write(head(secret(desk, "train"), len(data)) + data[:-60])
    answered = asyncio.create_task(status(reader))
    for at in range(len(data) - 60, len(data) - 1):
        if pace == "stalls" or answered.done():
            break
        writer.write(data[at : at + 1])
        await asyncio.wait([answered], timeout=0.02)
    assert await answered == 408
    assert b'"kind":"timeout"' in await reader.read()
    writer.close()
    assert sorted(desk.settings.home.artifacts.rglob("*")) == before
    assert not list((tmp_path / "temporary").iterdir())
    with Control(f"http://127.0.0.1:{door.port}", secret(desk, "read")) as control:
        assert await asyncio.to_thread(control.services) == []


async def test_a_caller_who_hangs_up_halfway_leaves_nothing(desk: Desk, door: Door) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(head(secret(desk, "train"), 1000) + b" " * 500)
    await writer.drain()
    writer.close()
    with Control(f"http://127.0.0.1:{door.port}", secret(desk, "train")) as control:
        assert [item["name"] for item in await asyncio.to_thread(control.models)] == ["double"]
