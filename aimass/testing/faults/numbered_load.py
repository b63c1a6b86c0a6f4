"""Callers that number their requests and check every answer: what came back, from which revision, on which connection.

Request n carries the number n, and an answer of revision r must be n times what r multiplies by. Each caller has one
connection, opened anew when it breaks, and knows whose it is from the request id of its last answer: so that a request
that is lost is known to have been under way in a process that died, or not.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from aimass.testing.faults.beside import calling

BODY = '{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,2],"data":[{number},1.0]}}]}}'
MOST = 16_000_000  # whole numbers that FP32 holds
CALL_S = 60.0
REST_S = 0.02


@dataclass(frozen=True)
class Ended:
    """One request: seconds since the load began, and what became of it."""

    number: int
    service: str
    begun_s: float
    ended_s: float
    what: str  # answered, wrong, refused (with a clean error), cut (the connection broke), unconnected (never sent)
    status: int = 0
    request_id: str = ""
    process: str = ""  # who had the connection, where an answer had said so
    said: str = ""
    revision: int = 0  # that ran it, where the answer said so


@dataclass
class NumberedLoad:
    """``factors``: service → revision → what it multiplies by; filled while it runs."""

    port: int
    key: str
    factors: Mapping[str, dict[int, float]]
    callers: int = 12
    pause_s: float = 0.01
    ended: list[Ended] = field(default_factory=list)
    asked: int = 0
    stopped: bool = False
    begun_at: float = 0.0

    def now(self) -> float:
        return time.monotonic() - self.begun_at

    async def run(self) -> None:
        names = sorted(self.factors)
        await asyncio.gather(*(self._call(names[at % len(names)]) for at in range(self.callers)))

    async def _call(self, service: str) -> None:
        connection = _Connection(self.port)
        while not self.stopped:
            self.asked += 1
            number = self.asked
            begun = self.now()
            try:
                status, headers, body = await asyncio.wait_for(connection.ask(self._request(service, number)), CALL_S)
            except ConnectionRefusedError as error:
                ended = Ended(number, service, begun, self.now(), "unconnected", said=repr(error))
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                ended = Ended(number, service, begun, self.now(), "cut", process=connection.process, said=repr(error))
                connection.close()
            else:
                ended = self._judge(number, service, begun, status, headers, body)
                connection.process = ended.request_id[:8] or connection.process
            self.ended.append(ended)
            await asyncio.sleep(self.pause_s if ended.what == "answered" else REST_S)
        connection.close()

    def _request(self, service: str, number: int) -> bytes:
        body = BODY.format(number=number).encode()
        head = (
            f"POST /v2/models/{service}/infer HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def _judge(
        self, number: int, service: str, begun: float, status: int, headers: Mapping[str, str], body: bytes
    ) -> Ended:
        request_id, what, said = headers.get("x-aimass-request-id", ""), "refused", ""
        revision = int(headers.get("x-aimass-revision", "0"))
        if status == 200:
            factor = self.factors[service].get(revision)
            values = json.loads(body)["outputs"][0]["data"]
            is_right = factor is not None and values == [number * factor, factor]
            what = "answered" if is_right else "wrong"
        if what != "answered":
            said = body.decode(errors="replace")[:300]
        return Ended(number, service, begun, self.now(), what, status, request_id, request_id[:8], said, revision)


class _Connection:
    """HTTP/1.1 on one connection, as plain as the gateway's answers are."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.process = ""

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        if self._streams is None:
            self.process = ""
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(head[0].split(" ")[1]), headers, body

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def asking(load: NumberedLoad) -> AbstractContextManager[NumberedLoad]:
    """Runs the callers in a thread; whoever leaves the block waits for the last answer."""
    load.begun_at = time.monotonic()
    return calling(load, load.run())
