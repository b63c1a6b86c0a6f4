"""A door: an ASGI application that listens by itself, inside a Serve replica, on a port its siblings share."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn

from aimass.gateway.protocols.heads import BoundedProtocol

App = Callable[[Any, Any, Any], Awaitable[None]]

BACKLOG = 2048
CLOSING_S = 1.0  # answers say `connection: close` this long before the port is let go
KEPT_ALIVE_S = 75  # a connection without a request ends after that
ACCEPTED_S = 0.05  # connections that the kernel has queued by then are taken
FIRST_REQUEST_S = 1.0  # a connection that was just opened sends its request within that, or is closed


class Door:
    """One listener. ``open`` before any traffic; ``close`` loses no request that was accepted."""

    def __init__(
        self,
        app: App,
        host: str,
        port: int,
        tls: tuple[Path, Path] | None = None,
        http: type[asyncio.Protocol] = BoundedProtocol,
    ) -> None:
        self._app = app
        self._address = (host, port)
        self._closing = False
        config = uvicorn.Config(
            self._answer if http is BoundedProtocol else app,
            http=http,
            loop="none",
            lifespan="off",
            interface="asgi3",
            ws="none",
            proxy_headers=False,
            server_header=False,
            log_config=None,
            access_log=False,
            log_level="warning",
            backlog=BACKLOG,
            timeout_keep_alive=KEPT_ALIVE_S,
            ssl_certfile=tls[0] if tls else None,
            ssl_keyfile=tls[1] if tls else None,
        )
        self._server = uvicorn.Server(config)
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen. The port must be free, or be shared by siblings of the same user."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(self._address)
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
        self._socket = listener
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.001)
        if self._task.done():
            self._task.result()

    @property
    def port(self) -> int:
        """The port that was bound; useful where 0 was asked for."""
        return int(self._socket.getsockname()[1]) if self._socket else self._address[1]

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._server.server_state.connections)

    @property
    def has_stopped(self) -> bool:
        """Whether the listener has ended without being closed."""
        return self._task is not None and self._task.done()

    @property
    def closing(self) -> bool:
        """Answers must say `connection: close`."""
        return self._closing

    async def close(self, closing_s: float = CLOSING_S) -> None:
        """Say `connection: close` for a while, take what the kernel has accepted, finish it, let the port go."""
        if self._task is None or self._socket is None:
            return
        self._closing = True
        await asyncio.sleep(closing_s)
        last = self._socket.dup()  # the port stays ours until what is queued for it was taken
        last.listen(0)  # from here on the kernel holds new callers off; they knock again after a second
        await asyncio.sleep(ACCEPTED_S)
        for server in self._server.servers:
            server.close()
        await self._take_last(last)
        await self._hear_out()
        self._server.should_exit = True
        await self._task
        self._task = None

    async def _take_last(self, listener: socket.socket) -> None:
        """Accept what is still in the queue, and close it with nothing between."""
        accepted = []
        with contextlib.suppress(BlockingIOError):
            while True:
                accepted.append(listener.accept()[0])
        listener.close()
        loop, config = asyncio.get_running_loop(), self._server.config
        protocol: Any = config.http_protocol_class
        for one in accepted:
            one.setblocking(False)
            with contextlib.suppress(OSError):  # it has hung up meanwhile
                await loop.connect_accepted_socket(
                    lambda: protocol(config=config, server_state=self._server.server_state, app_state={}),
                    one,
                    ssl=config.ssl,
                )

    async def _hear_out(self) -> None:
        """Wait for the first request of connections that have not sent one yet: they knew of no closing."""
        loop = asyncio.get_running_loop()
        until = loop.time() + FIRST_REQUEST_S
        connections: Any = self._server.server_state.connections
        while loop.time() < until and any(one.cycle is None for one in connections):  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.005)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._closing:
            await self._app(scope, receive, send)
            return

        async def send_closing(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, send_closing)
