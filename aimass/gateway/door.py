"""A door: an ASGI application that listens by itself, inside a Serve replica, on a port its siblings share."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn

App = Callable[[Any, Any, Any], Awaitable[None]]

BACKLOG = 2048
CLOSING_S = 1.0  # answers say `connection: close` this long before the port is let go
ACCEPTED_S = 0.05  # connections that the kernel has queued by then are taken


class Door:
    """One listener. ``open`` before any traffic; ``close`` loses no request that was accepted."""

    def __init__(
        self,
        app: App,
        host: str,
        port: int,
        tls: tuple[Path, Path] | None = None,
        http: type[asyncio.Protocol] | str = "httptools",
    ) -> None:
        self._app = app
        self._address = (host, port)
        self._closing = False
        config = uvicorn.Config(
            self._answer if http == "httptools" else app,
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
            timeout_keep_alive=75,
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
        """Say `connection: close` for a while, take what is queued, finish it, let the port go."""
        if self._task is None or self._socket is None:
            return
        self._closing = True
        await asyncio.sleep(closing_s)
        self._socket.listen(0)
        await asyncio.sleep(ACCEPTED_S)
        self._server.should_exit = True
        await self._task
        self._task = None

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._closing:
            await self._app(scope, receive, send)
            return

        async def send_closing(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, send_closing)
