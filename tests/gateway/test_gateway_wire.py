"""The door on a real socket: bodies in pieces, pipelines, old clients, TLS, and the drain."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from aimass.gateway.door import Door
from aimass.serving.loader import LoadedPlan
from aimass.testing.gateway import BEARER, INFER, Gateway, body, connect, open_door, trusting

WAYS = ["direct", "asgi"]
CONTENT = json.dumps(body()).encode()
Answer = tuple[int, dict[str, str], bytes]


def _request(content: bytes = CONTENT, *lines: str, version: str = "1.1", length: bool = True) -> bytes:
    head = [f"POST {INFER} HTTP/{version}", "host: gateway", f"authorization: {BEARER['authorization']}", *lines]
    if length:
        head.append(f"content-length: {len(content)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


@asynccontextmanager
async def _dial(door: Door) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-1])}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", [1, 7, 100, 100_000])
async def test_a_request_in_pieces_is_answered(gateway: Gateway, way: str, step: int) -> None:
    async with open_door(gateway.app, way) as door, _dial(door) as (reader, writer):
        for _ in range(2):
            request = _request()
            for at in range(0, len(request), step):
                writer.write(request[at : at + step])
                await writer.drain()
                await asyncio.sleep(0)
            assert (await _read(reader))[0] == 200


@pytest.mark.parametrize("way", WAYS)
async def test_a_half_sent_body_keeps_nobody_else_waiting_and_times_out(
    gateway: Gateway, plan: LoadedPlan, way: str
) -> None:
    gateway.serve(plan, deadline_ms=300)
    async with open_door(gateway.app, way) as door, _dial(door) as (reader, writer):
        writer.write(_request()[:-20])
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}", headers=BEARER) as client:
            assert (await client.post(INFER, content=CONTENT)).status_code == 200
        status, headers, told = await _read(reader)
        assert (status, json.loads(told)["kind"], headers["connection"]) == (408, "timeout", "close")
        assert await reader.read() == b""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sent", [0, 20, len(CONTENT) - 20])
async def test_a_half_sent_body_behind_other_requests_is_waited_for_and_times_out(
    gateway: Gateway, plan: LoadedPlan, way: str, sent: int
) -> None:
    """In one piece: the last head is read while the requests before it wait for their round."""
    gateway.serve(plan, deadline_ms=300)
    pieces = _request() + _request() + _request()[: -len(CONTENT)] + CONTENT[:sent]
    async with open_door(gateway.app, way) as door, _dial(door) as (reader, writer):
        writer.write(pieces)
        assert [(await _read(reader))[0] for _ in range(2)] == [200, 200]
        writer.write(CONTENT[sent:])
        assert (await _read(reader))[0] == 200
        writer.write(pieces)
        assert [(await _read(reader))[0] for _ in range(3)] == [200, 200, 408]
        assert await reader.read() == b""


@pytest.mark.parametrize("way", WAYS)
async def test_a_caller_who_hangs_up_half_way_leaves_nothing_behind(gateway: Gateway, way: str) -> None:
    async with open_door(gateway.app, way) as door:
        for _ in range(20):
            async with _dial(door) as (_, writer):
                writer.write(_request()[:-20])
                await writer.drain()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}", headers=BEARER) as client:
            assert (await client.post(INFER, content=CONTENT)).status_code == 200
    assert len(gateway.events()) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_pipelined_requests_are_answered_in_order(gateway: Gateway, way: str) -> None:
    async with open_door(gateway.app, way) as door, _dial(door) as (reader, writer):
        names = [f"request-{index}" for index in range(10)]
        writer.write(b"".join(_request(json.dumps(body(id=name)).encode()) for name in names))
        got = [json.loads((await _read(reader))[2])["id"] for _ in names]
        assert got == names


@pytest.mark.parametrize("way", WAYS)
async def test_chunked_bodies(gateway: Gateway, way: str) -> None:
    async with open_door(gateway.app, way) as door, _dial(door) as (reader, writer):
        half = len(CONTENT) // 2
        parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (CONTENT[:half], CONTENT[half:]))
        writer.write(_request(parts + b"0\r\n\r\n", "transfer-encoding: chunked", length=False))
        assert (await _read(reader))[0] == 200
        endless = b"%x\r\n%b\r\n" % (8000, b" " * 8000)
        writer.write(_request(endless * 4, "transfer-encoding: chunked", length=False))
        status, _, told = await _read(reader)
        assert (status, json.loads(told)["kind"]) == (413, "too_large")


@pytest.mark.parametrize("way", WAYS)
async def test_a_body_announced_too_large_is_refused_before_it_comes(gateway: Gateway, way: str) -> None:
    async with open_door(gateway.app, way) as door, _dial(door) as (reader, writer):
        writer.write(_request(b"", "content-length: 999999999", length=False))
        assert (await _read(reader))[0] == 413


@pytest.mark.parametrize("way", WAYS)
async def test_old_and_careful_clients(gateway: Gateway, way: str) -> None:
    async with open_door(gateway.app, way) as door:
        async with _dial(door) as (reader, writer):
            writer.write(_request(version="1.0"))
            status, headers, _ = await _read(reader)
            assert (status, headers["connection"]) == (200, "close")
            assert await reader.read() == b""
        async with _dial(door) as (reader, writer):
            writer.write(_request(CONTENT, "expect: 100-continue")[: -len(CONTENT)])
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(CONTENT)
            assert (await _read(reader))[0] == 200
            writer.write(_request(CONTENT, "connection: close"))
            assert (await _read(reader))[1]["connection"] == "close"
            assert await reader.read() == b""


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_not_http_ends_the_connection_only(gateway: Gateway, way: str) -> None:
    async with open_door(gateway.app, way) as door, _dial(door) as (reader, writer):
        writer.write(b"\x16\x03\x01 hello there\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}", headers=BEARER) as client:
            assert (await client.post(INFER, content=CONTENT)).status_code == 200


@pytest.mark.parametrize("way", WAYS)
async def test_both_ways_answer_the_same_bytes(gateway: Gateway, way: str) -> None:
    async with connect(gateway.app, "memory") as memory, connect(gateway.app, way) as client:
        for content in (CONTENT, b"{", json.dumps(body(id="a")).encode()):
            plain, real = await memory.post(INFER, content=content), await client.post(INFER, content=content)
            assert plain.status_code == real.status_code
            assert {**plain.json(), "request_id": ""} == {**real.json(), "request_id": ""}
            assert set(plain.headers) == set(real.headers) - {"date"}


async def test_the_drain_says_close_and_loses_nothing(gateway: Gateway) -> None:
    async with open_door(gateway.app) as door:
        address = f"http://127.0.0.1:{door.port}"
        answered = asyncio.Event()
        closes: list[str] = []

        async def call_on() -> int:
            async with httpx.AsyncClient(base_url=address, headers=BEARER) as client:
                for count in range(10_000):
                    try:
                        answer = await client.post(INFER, content=CONTENT)
                    except httpx.ConnectError:  # the port is let go: nobody was accepted
                        return count
                    assert answer.status_code == 200
                    closes.append(answer.headers.get("connection", ""))
                    answered.set()
            raise AssertionError("the door never closed")

        callers = [asyncio.create_task(call_on()) for _ in range(4)]
        await answered.wait()
        await door.close(closing_s=0.2)
        counts = await asyncio.gather(*callers)
        assert sum(counts) == len(gateway.events()) == len(closes)
        assert closes[-1] == "close"
        assert closes[0] == ""


async def test_siblings_share_a_port(gateway: Gateway, tmp_path: Path, plan: LoadedPlan) -> None:
    second = Gateway(tmp_path / "second")
    second.serve(plan)
    async with open_door(gateway.app) as door:
        sibling = Door(second.app, "127.0.0.1", door.port)
        await sibling.open()
        assert sibling.port == door.port
        for _ in range(40):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}", headers=BEARER) as client:
                assert (await client.post(INFER, content=CONTENT)).status_code == 200
        assert len(gateway.events()) + len(second.events()) == 40
        assert gateway.events()
        assert second.events()
        await sibling.close(closing_s=0)


@pytest.mark.parametrize("way", WAYS)
async def test_tls_by_two_files(gateway: Gateway, certificate: tuple[Path, Path], way: str) -> None:
    async with open_door(gateway.app, way, tls=certificate) as door:
        address = f"https://127.0.0.1:{door.port}"
        async with httpx.AsyncClient(base_url=address, headers=BEARER, verify=trusting(certificate[0])) as client:
            for _ in range(3):
                assert (await client.post(INFER, content=CONTENT)).status_code == 200


@pytest.mark.parametrize("way", WAYS)
async def test_head_answers_as_get_does_without_its_body(gateway: Gateway, way: str) -> None:
    async with connect(gateway.app, way) as client:
        for path in ("/v2/health/live", "/v2/health/ready", "/-/healthz", "/v2/models/iris", "/v2/models/none"):
            got, headed = await client.get(path), await client.head(path)
            assert (headed.status_code, headed.content) == (got.status_code, b"")
            assert headed.headers["content-length"] == got.headers["content-length"]
        async with open_door(gateway.app, way) as door, _dial(door) as (reader, writer):
            writer.write(b"HEAD /v2/health/live HTTP/1.1\r\nhost: g\r\n\r\nGET /-/healthz HTTP/1.1\r\nhost: g\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            assert (await _read(reader))[2] == b"success"  # what follows is the next answer, not a body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "method, path, allow",
    [
        ("GET", INFER, "POST"),
        ("HEAD", INFER, "POST"),
        ("OPTIONS", "/v2/health/live", "GET, HEAD"),
        ("POST", "/v2/models/iris", "GET, HEAD"),
        ("DELETE", "/v2/repository/index", "POST, GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    gateway: Gateway, way: str, method: str, path: str, allow: str
) -> None:
    async with connect(gateway.app, way) as client:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allow)
        if method != "HEAD":
            assert answer.json()["kind"] == "invalid"
            assert f"takes {allow.replace(', ', ' or ')}, not {method}" in answer.json()["error"]
