"""Ports against the kernel: what is bound is seen, owned and named; what is free can be had."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aimass.control.platform import ports
from aimass.core.errors import Conflict


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def test_a_taken_port_is_refused_with_its_owner(listening: socket.socket) -> None:
    with pytest.raises(
        Conflict, match=rf"port {port_of(listening)} is taken by pid {os.getpid()} \(.*--port \d+"
    ) as caught:
        ports.check_free("127.0.0.1", port_of(listening), "--port")
    assert caught.value.field == "--port"


def test_a_port_shared_with_reuseport_counts_as_taken() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert not ports.is_free("127.0.0.1", port_of(server))


def test_a_listener_on_all_addresses_takes_the_port_on_loopback_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not ports.is_free("127.0.0.1", port_of(server))
        found = next(item for item in ports.listeners([os.getpid()]) if item.port == port_of(server))
        assert (found.host, found.is_local) == ("0.0.0.0", False)


def test_a_port_with_lingering_connections_is_free(listening: socket.socket) -> None:
    port = port_of(listening)
    with socket.create_connection(("127.0.0.1", port)) as client:
        served, _ = listening.accept()
        served.close()  # the server closes first, so that its side lingers in TIME_WAIT
        client.recv(1)
    listening.close()
    assert ports.is_free("127.0.0.1", port)


def test_ipv6_loopback_is_read() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        found = next(item for item in ports.listeners([os.getpid()]) if item.port == port_of(server))
        assert (found.host, found.is_local, found.pid) == ("::1", True, os.getpid())


def test_another_process_is_named_by_its_command(tmp_path: Path) -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdin
        port = int(other.stdout.readline())
        found = next(item for item in ports.listeners() if item.port == port)
        assert found.pid == other.pid
        assert "import socket" in ports.describe(found)
        other.stdin.close()


def test_another_platform_is_named_by_its_home(tmp_path: Path, listening: socket.socket) -> None:
    folder = tmp_path / "aimass-0-1234abcd"
    (folder / "session" / "logs").mkdir(parents=True)
    (folder / "home").write_text("/somewhere/.aimass\n")
    with (folder / "session" / "logs" / "gateway.log").open("w"):
        found = next(item for item in ports.listeners() if item.port == port_of(listening))
        assert ports.describe(found).endswith("the AI Mass of /somewhere/.aimass")
