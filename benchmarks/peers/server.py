"""A server process of the benchmark: started, waited for, and stopped with all that it started, whatever happens."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aimass.control.platform.processes import Process, all_pids, inspect, parent_of, send, wait_gone

ROOT = Path(__file__).parents[2]
START_S = 120.0
STOP_S = 60.0


class PeerError(Exception):
    """A server did not start, or answers something else than the others."""


@dataclass(frozen=True)
class Door:
    """Where a peer answers, and what each request to it must carry."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)
    grpc: str = ""  # host:port of its gRPC door; empty: none is measured


@contextmanager
def running(
    command: list[str], env: Mapping[str, str], log: Path, is_ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """The process, in a session of its own so that Ctrl-C reaches only us; ``PeerError`` with its last words."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        _wait_ready(process, log, is_ready)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks it to end, waits, and ends whatever of its descendants is left."""
    family = descendants(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        family = [*family, *descendants(process.pid)]
        process.kill()
        process.wait()
    for number in (signal.SIGTERM, signal.SIGKILL):
        family = wait_gone(family, 2.0)
        for member in family:
            send(member, number)


def descendants(pid: int) -> list[Process]:
    """All processes below ``pid``, children first."""
    parents = {child: parent_of(child) for child in all_pids()}
    found, look = [], [pid]
    while look:
        above = look.pop(0)
        below = [child for child, parent in parents.items() if parent == above]
        found += below
        look += below
    return [process for process in map(inspect, found) if process is not None]


def python(*arguments: str) -> list[str]:
    """A command of this very Python."""
    return [sys.executable, *arguments]


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def says_ok(port: int, path: str) -> bool:
    """Whether a GET of the path is answered with 200."""
    try:
        answer, _ = ask(port, f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode(), "GET")
    except (OSError, http.client.HTTPException):
        return False
    return answer.status == 200


def ask(port: int, request: bytes, method: str = "POST") -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to one whole request, and its body."""
    with socket.create_connection(("127.0.0.1", port), timeout=30.0) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        return answer, answer.read()


def _wait_ready(process: subprocess.Popen[bytes], log: Path, is_ready: Callable[[], bool]) -> None:
    until = time.monotonic() + START_S
    while not is_ready():
        if process.poll() is not None or time.monotonic() > until:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            what = "ended" if process.poll() is not None else f"is not ready after {START_S:.0f} s"
            raise PeerError(f"{log.stem} {what}; it said last:\n{last}")
        time.sleep(0.05)
