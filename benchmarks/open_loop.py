"""A load generator whose requests leave when they are due, answered or not, as those of many callers would.

``python -m benchmarks.open_loop`` reads a ``Plan`` as JSON and prints what it ``Saw``: a process of its own, so that
no other work delays it. Arrivals are Poisson's. One request at a time on a connection; a request that is due while
none is free leaves as soon as one is, and its time runs from when it was due. It shares the machine with the server.
"""

import json
import random
import select
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.load import LoadError

SEED = 7
DRAIN_S = 2.0  # for answers after the last request has left
POINTS = (50.0, 95.0, 99.0)
SPIN_S = 0.0001  # shorter waits are spent looking: the kernel would make them longer
IDLE_S = 0.05


@dataclass(frozen=True)
class Plan:
    """What to send: the ``count`` requests of a folder in turn. The first ``warm_s`` are sent and not counted."""

    port: int
    requests: str
    count: int
    rate_per_s: float
    seconds: float
    deadline_s: float
    connections: int
    warm_s: float = 0.5


@dataclass(frozen=True)
class Saw:
    """Of the requests that were due in the counted time. Milliseconds at POINTS, from when each was due."""

    due: int
    in_time: int  # answered with 200 before the deadline
    late: int  # answered with 200 after it
    statuses: dict[str, int]  # all other answers
    unanswered: int  # also those that found no free connection to the end
    seconds: float
    ok_ms: tuple[float, ...]
    shed_ms: tuple[float, ...]  # of answers with 503
    shed_sent_ms: tuple[float, ...]  # the same from when it left
    left_late_ms: tuple[float, ...]  # between due and gone: what the generator itself, or its connections, cost

    @property
    def goodput(self) -> float:
        return self.in_time / self.seconds

    @property
    def offered(self) -> float:
        return self.due / self.seconds


def drive(plan: Plan) -> Saw:
    """In a process of its own; ``LoadError`` when it fails."""
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.open_loop"],
        input=json.dumps(asdict(plan)),
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise LoadError(f"the open loop failed: {answer.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(answer.stdout)
    for name in ("ok_ms", "shed_ms", "shed_sent_ms", "left_late_ms"):
        found[name] = tuple(found[name])
    return Saw(**found)


@dataclass
class Connection:
    """One at a time: when its request was due and left, and what has come of the answer."""

    socket: socket.socket
    due: float = 0.0
    left: float = 0.0
    head: bytes = b""
    missing: int = 0  # bytes of the body
    status: str = ""


@dataclass
class Ledger:
    """What became of the requests that were due from ``begin`` on."""

    plan: Plan
    begin: float
    sent: int = 0
    ok: list[float] = field(default_factory=list)
    shed: list[float] = field(default_factory=list)
    shed_sent: list[float] = field(default_factory=list)
    left_late: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)

    def note(self, held: Connection, now: float) -> None:
        """An answer is whole."""
        if held.due < self.begin:
            return
        self.left_late.append(held.left - held.due)
        if held.status == "200":
            self.ok.append(now - held.due)
            return
        self.statuses[held.status] = self.statuses.get(held.status, 0) + 1
        if held.status == "503":
            self.shed.append(now - held.due)
            self.shed_sent.append(now - held.left)

    def close(self, due: int) -> Saw:
        in_time = sum(taken <= self.plan.deadline_s for taken in self.ok)
        answered = len(self.ok) + sum(self.statuses.values())
        return Saw(
            due,
            in_time,
            len(self.ok) - in_time,
            self.statuses,
            due - answered,
            self.plan.seconds,
            *(_points(times) for times in (self.ok, self.shed, self.shed_sent, self.left_late)),
        )


def run(plan: Plan) -> Saw:
    """The whole load."""
    bodies = [Path(plan.requests, f"{number}.http").read_bytes() for number in range(1, plan.count + 1)]
    with ExitStack() as stack:
        poll, connections = stack.enter_context(closing(select.epoll())), dict[int, Connection]()
        for _ in range(plan.connections):
            made = stack.enter_context(_connect(plan.port))
            connections[made.fileno()] = Connection(made)
            poll.register(made, select.EPOLLIN)
        return _send(plan, bodies, poll, connections)


def _send(plan: Plan, bodies: list[bytes], poll: select.epoll, connections: dict[int, Connection]) -> Saw:
    arrivals, free = _arrivals(plan), deque(connections.values())
    start = time.perf_counter()
    ledger = Ledger(plan, start + plan.warm_s)
    number, last = 0, start + plan.warm_s + plan.seconds + DRAIN_S
    while True:
        now = time.perf_counter()
        while number < len(arrivals) and free and start + arrivals[number] <= now:
            held = free.popleft()
            held.due, held.left = start + arrivals[number], now
            held.socket.send(bodies[number % plan.count])
            number += 1
            now = time.perf_counter()
        if now > last or (number == len(arrivals) and len(free) == len(connections)):
            break
        is_next = number < len(arrivals) and bool(free)
        for handle, _ in _wait(poll, start + arrivals[number] - now if is_next else IDLE_S):
            if _receive(connections[handle]):
                ledger.note(connections[handle], time.perf_counter())
                free.append(connections[handle])
    return ledger.close(sum(moment >= plan.warm_s for moment in arrivals))


def _arrivals(plan: Plan) -> list[float]:
    """Seconds from the start."""
    source, moments, at = random.Random(SEED), [], 0.0
    while (at := at + source.expovariate(plan.rate_per_s)) < plan.warm_s + plan.seconds:
        moments.append(at)
    return moments


def _wait(poll: select.epoll, seconds: float) -> list[tuple[int, int]]:
    """The connections that can be read, waited for so long. Through ``select``, because epoll counts milliseconds."""
    if seconds > SPIN_S:
        select.select([poll], [], [], seconds)
    return poll.poll(0)


def _connect(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setblocking(False)
    return made


def _receive(held: Connection) -> bool:
    """Read what is there; whether the answer is whole."""
    data = held.socket.recv(65536)
    if not data:
        raise LoadError("the server closed a connection")
    if held.missing:
        held.missing -= len(data)
        return held.missing <= 0
    held.head += data
    end = held.head.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = held.head[:end].lower()
    held.status = head[9:12].decode()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    held.missing = length - (len(held.head) - end - 4)
    held.head = b""
    return held.missing <= 0


def _points(times: list[float]) -> tuple[float, ...]:
    """At POINTS, in ms; nothing of nothing."""
    if not times:
        return ()
    ordered = sorted(times)
    last = len(ordered) - 1
    return tuple(round(ordered[min(last, int(len(ordered) * point / 100))] * 1e3, 3) for point in POINTS)


if __name__ == "__main__":
    print(json.dumps(asdict(run(Plan(**json.load(sys.stdin))))))
