"""The open loop against a server that answers as it is told: what is counted, and from when."""

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.bench_overload import FACTORS, kept
from benchmarks.open_loop import Plan, Saw, drive, run

REQUEST = b"POST /%d HTTP/1.1\r\ncontent-length: 0\r\n\r\n"


@contextmanager
def serving(slow_s: float = 0.0) -> Iterator[int]:
    """A server on the port: path /1 gets 200 after ``slow_s``, every other 503 in two pieces."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST /1 "):
                    await asyncio.sleep(slow_s)
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
                else:
                    writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nno")
                    await writer.drain()
                    await asyncio.sleep(0)
                    writer.write(b"pe")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    told = queue.Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]]()

    async def serve() -> None:
        stop = asyncio.Event()
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        told.put((asyncio.get_running_loop(), stop, server.sockets[0].getsockname()[1]))
        async with server:
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, stop, port = told.get(timeout=10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def plan(port: int, folder: Path, count: int = 2, **changes: float) -> Plan:
    for number in range(1, count + 1):
        (folder / f"{number}.http").write_bytes(REQUEST % number)
    settings = {"rate_per_s": 200.0, "seconds": 0.5, "deadline_s": 1.0, "warm_s": 0.0, **changes}
    return Plan(port, str(folder), count, connections=int(settings.pop("connections", 50)), **settings)


def test_each_request_is_counted_once_and_by_its_answer(tmp_path: Path) -> None:
    with serving() as port:
        saw = drive(plan(port, tmp_path))
    assert saw.due > 50
    assert saw.in_time + sum(saw.statuses.values()) == saw.due
    assert saw.unanswered == saw.late == 0
    assert set(saw.statuses) == {"503"}
    assert abs(saw.in_time - saw.statuses["503"]) <= 1  # they are sent in turn
    assert saw.offered == saw.due / 0.5
    assert saw.goodput == saw.in_time / 0.5
    assert len(saw.ok_ms) == len(saw.shed_ms) == len(saw.shed_sent_ms) == 3


def test_answers_after_the_deadline_are_late(tmp_path: Path) -> None:
    with serving(slow_s=0.05) as port:
        saw = run(plan(port, tmp_path, count=1, deadline_s=0.04))
    assert saw.in_time == 0
    assert saw.late == saw.due > 0
    assert min(saw.ok_ms) >= 50.0


def test_what_waits_for_a_connection_is_timed_from_when_it_was_due(tmp_path: Path) -> None:
    """One connection that takes 50 ms an answer, asked 200 times a second for half a second: the last one waits for
    all those before it, so that its time is many times the server's."""
    with serving(slow_s=0.05) as port:
        saw = run(plan(port, tmp_path, count=1, connections=1))
    assert saw.unanswered > 0
    assert saw.in_time + saw.late + saw.unanswered == saw.due
    assert saw.ok_ms[-1] > 500
    assert saw.left_late_ms[-1] > 400


def test_the_warm_time_is_not_counted(tmp_path: Path) -> None:
    with serving() as port:
        saw = run(plan(port, tmp_path, warm_s=0.5))
        everything = run(plan(port, tmp_path, seconds=1.0))
    assert 0 < saw.due < everything.due


def point(goodput: float) -> Saw:
    return Saw(10, round(goodput), 0, {}, 0, 1.0, (), (), (), ())


@pytest.mark.parametrize(("least", "found"), [(95.0, 0.95), (10.0, 0.1)])
def test_goodput_kept_is_the_least_beyond_the_saturation_over_the_peak(least: float, found: float) -> None:
    goodputs = [factor * 100 if factor < 1 else 100 for factor in FACTORS]
    goodputs[-2] = least
    assert kept([point(goodput) for goodput in goodputs]) == pytest.approx(found)
