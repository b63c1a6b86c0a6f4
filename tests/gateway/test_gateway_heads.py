"""Heads of requests without end: too large, too many lines, too slow; and the door's next caller is answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from aimass.gateway.door import Door
from aimass.gateway.protocols import heads
from aimass.testing.gateway import Gateway, open_door

LIVE = b"GET /v2/health/live HTTP/1.1\r\nhost: gateway\r\n"
Send = Callable[[bytes], "asyncio.Future[bytes]"]


@pytest.fixture(params=["direct", "asgi"])
async def door(request: pytest.FixtureRequest, gateway: Gateway) -> AsyncIterator[Door]:
    async with open_door(gateway.app, request.param) as opened:
        yield opened


async def _talk(door: Door, *pieces: bytes) -> bytes:
    """All that the door answers until it ends the connection; the caller never does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    for piece in pieces:
        with suppress(ConnectionError):
            writer.write(piece)
            await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


def _statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def _lines(count: int, size: int) -> bytes:
    return b"".join(b"x-%d: %b\r\n" % (index, b"a" * size) for index in range(count))


@pytest.mark.parametrize(
    "pieces",
    [
        [LIVE + _lines(10, 20_000) + b"\r\n"],
        [LIVE, *[_lines(1, 4_000)] * 30, b"\r\n"],
        [LIVE + _lines(300, 1) + b"\r\n"],
        [LIVE, *[b"x-endless: " + b"a" * 1_000_000] * 8],
        [b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n"],
        [LIVE + b"content-length: 9000\r\n\r\n" + b" " * 9_000, LIVE + _lines(10, 20_000) + b"\r\n"],
    ],
    ids=["large", "in parts", "many lines", "a line without end", "path", "behind a body"],
)
async def test_a_head_too_large_is_refused_and_ends_its_connection(door: Door, pieces: list[bytes]) -> None:
    answer = await _talk(door, *pieces)
    head, _, told = answer.rpartition(b"\r\n\r\n")
    assert (_statuses(answer)[-1], json.loads(told)["kind"]) == (431, "too_large"), answer
    assert b"connection: close" in head
    assert _statuses(await _talk(door, LIVE + b"connection: close\r\n\r\n")) == [200]


async def test_a_head_that_fits_and_a_large_body_in_the_same_piece_are_taken(door: Door) -> None:
    assert _statuses(await _talk(door, LIVE + _lines(60, 1_000) + b"connection: close\r\n\r\n")) == [200]
    body = LIVE + b"content-length: 15000\r\n\r\n" + b" " * 15_000
    parts = [LIVE[:30], LIVE[30:] + b"connection: close\r\n\r\n"]
    assert _statuses(await _talk(door, body * 8 + parts[0], parts[1])) == [200] * 9


@pytest.mark.parametrize("kept_alive", [False, True])
async def test_a_head_half_sent_is_waited_for_in_bounds(
    door: Door, monkeypatch: pytest.MonkeyPatch, kept_alive: bool
) -> None:
    monkeypatch.setattr(heads, "HEAD_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    if kept_alive:
        writer.write(LIVE + b"\r\n")
        assert (await reader.readuntil(b"true}")).startswith(b"HTTP/1.1 200")
    writer.write(b"POST /v2/models/iris/infer HTTP/1.1\r\nho")
    answer = await reader.read()
    assert _statuses(answer) == [408]
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["kind"] == "timeout"
    writer.close()


async def test_a_head_that_drips_gains_no_time(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEAD_S", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(LIVE)
    answer = asyncio.create_task(reader.read())
    while not answer.done():
        with suppress(ConnectionError):
            writer.write(b"x: y\r\n")
            await writer.drain()
        await asyncio.wait([answer], timeout=0.02)
    assert _statuses(await answer) == [408]
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"\r\n", LIVE + b"\r\n\r\n"], ids=["nothing", "blank", "blank after an answer"])
async def test_a_silent_connection_ends(gateway: Gateway, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEAD_S", 0.2)
    monkeypatch.setattr("aimass.gateway.door.KEPT_ALIVE_S", 0.2)
    async with open_door(gateway.app) as door:
        assert set(_statuses(await _talk(door, sent))) <= {200, 408}


async def test_answers_that_are_due_go_out_before_the_end(door: Door) -> None:
    answer = await _talk(door, (LIVE + b"\r\n") * 3 + LIVE + _lines(10, 20_000) + b"\r\n")
    assert _statuses(answer)[:3] == [200] * 3
