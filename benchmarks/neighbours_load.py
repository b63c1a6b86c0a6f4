"""An open loop over several services that keeps each request's moment and time, and goes on when a connection breaks.

``python -m benchmarks.neighbours_load`` reads a ``Plan`` as JSON and prints one line of JSON: for each request the
second it was due (on the machine's monotonic clock), the ms until its answer from then on, and its status (0: its
connection broke). A process of its own; arrivals are Poisson's, so that no answer holds up the next question.
"""

import json
import random
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

SEED = 11
DRAIN_S = 2.0
AGAIN_S = 0.02  # after a connection was refused


@dataclass(frozen=True)
class Plan:
    """What to send: the files ``1.http`` to ``COUNT.http`` of a folder in turn."""

    port: int
    requests: str
    count: int
    rate_per_s: float
    seconds: float
    connections: int


class Caller:
    """One connection, made anew when it breaks; one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.due = 0.0
        self.socket: socket.socket | None = None
        self._seen = b""

    def send(self, data: bytes, due: float) -> None:
        """``OSError`` when nobody listens or the connection broke."""
        self.due, self._seen = due, b""
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=1.0)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(data)

    def receive(self) -> int:
        """The status once the answer is whole, else -1. ``OSError`` when the connection broke."""
        assert self.socket is not None
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError
        self._seen += data
        head, found, body = self._seen.partition(b"\r\n\r\n")
        if not found:
            return -1
        low = head.lower()
        length = int(low.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return -1
        if b"connection: close" in low:
            self.close()
        return int(head[9:12])

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class Run:
    """The whole load."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seen: list[tuple[float, float, int]] = []
        self._free = deque(Caller(plan.port) for _ in range(plan.connections))
        self._busy: dict[int, Caller] = {}
        self._poll = select.epoll()

    def go(self) -> list[tuple[float, float, int]]:
        plan = self.plan
        bodies = [Path(plan.requests, f"{number}.http").read_bytes() for number in range(1, plan.count + 1)]
        source, start = random.Random(SEED), time.monotonic()
        due, number, end = start, 0, start + plan.seconds
        while True:
            now = time.monotonic()
            while due <= now and due < end and self._free:
                self._send(bodies[number % plan.count], due)
                number += 1
                due += source.expovariate(plan.rate_per_s)
                now = time.monotonic()
            if now > end + DRAIN_S or (due >= end and not self._busy):
                return self.seen
            wait_s = max(0.0, min(0.05, due - now)) if self._free and due < end else 0.05
            if wait_s:
                select.select([self._poll], [], [], wait_s)
            for handle, _ in self._poll.poll(0):
                self._receive(handle)

    def _send(self, body: bytes, due: float) -> None:
        caller = self._free.popleft()
        try:
            is_new = caller.socket is None
            caller.send(body, due)
        except OSError:
            self._lost(caller)
            time.sleep(AGAIN_S)
            return
        assert caller.socket is not None
        handle = caller.socket.fileno()
        if is_new:
            self._poll.register(handle, select.EPOLLIN)
        self._busy[handle] = caller

    def _receive(self, handle: int) -> None:
        caller = self._busy.get(handle)
        if caller is None:  # it broke while nobody asked
            idle = next((one for one in self._free if one.socket is not None and one.socket.fileno() == handle), None)
            if idle is not None:
                idle.close()
            return
        try:
            status = caller.receive()
        except OSError:
            del self._busy[handle]
            self._lost(caller)
            return
        if status >= 0:
            del self._busy[handle]
            self.seen.append((caller.due, (time.monotonic() - caller.due) * 1e3, status))
            self._free.append(caller)

    def _lost(self, caller: Caller) -> None:
        caller.close()
        self.seen.append((caller.due, (time.monotonic() - caller.due) * 1e3, 0))
        self._free.append(caller)


if __name__ == "__main__":
    print(json.dumps(Run(Plan(**json.load(sys.stdin))).go()))
