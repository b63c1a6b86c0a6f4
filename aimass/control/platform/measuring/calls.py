"""Calls through the door, timed by a client that does next to nothing itself: one body, bare sockets."""

import socket
import ssl
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from aimass.core.errors import Unavailable

WARM = 50  # calls before the clock starts
PATIENCE_S = 10.0


class Door:
    """Several connections to one service, each asked in turn. Closes with ``close``."""

    def __init__(self, url: str, key: str, cert: str, service: str, body: bytes, connections: int) -> None:
        parts = urlsplit(url)
        self._address = (str(parts.hostname), parts.port or 80)
        self._cert = cert
        head = (
            f"POST /v2/models/{service}/infer HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._sockets = [self._open() for _ in range(connections)]

    def close(self) -> None:
        for item in self._sockets:
            item.close()

    def one_by_one(self, seconds: float) -> list[float]:
        """Seconds of each call on the first connection, none beside it."""
        for _ in range(WARM):
            self._round(self._sockets[:1])
        taken: list[float] = []
        end = time.perf_counter() + seconds
        while (before := time.perf_counter()) < end:
            self._round(self._sockets[:1])
            taken.append(time.perf_counter() - before)
        return taken

    def all_at_once(self, seconds: float) -> int:
        """How many calls were answered, each connection having asked again and again."""
        self._round(self._sockets)
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            self._round(self._sockets)
            count += len(self._sockets)
        return count

    def _round(self, sockets: Sequence[socket.socket]) -> None:
        for item in sockets:
            item.sendall(self._request)
        for item in sockets:
            self._read(item)

    def _read(self, item: socket.socket) -> None:
        """One answer; ``Unavailable`` unless it is 200."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more(item)
        head, _, rest = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise Unavailable(f"the door answered {head.splitlines()[0].decode(errors='replace')}; is it busy?")
        length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
        left = int(length.partition(b":")[2]) - len(rest)
        while left > 0:
            left -= len(self._more(item))

    def _more(self, item: socket.socket) -> bytes:
        data = item.recv(65536)
        if not data:
            raise Unavailable("the door closed the connection; try again")
        return data

    def _open(self) -> socket.socket:
        made = socket.create_connection(self._address, PATIENCE_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._cert:
            return made
        return ssl.create_default_context(cafile=self._cert).wrap_socket(made, server_hostname=self._address[0])
