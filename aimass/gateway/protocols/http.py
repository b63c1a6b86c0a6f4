"""Answers as HTTP sees them: a reply, its precomputed head, and the one table from an error's kind to its status."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import orjson

from aimass.core.errors import AimassError, Bug, Kind, SlowBody, SlowHead, TooLargeHead, WrongMethod

Header = tuple[bytes, bytes]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

CLOSE: Header = (b"connection", b"close")
JSON: Header = (b"content-type", b"application/json")
OCTETS: Header = (b"content-type", b"application/octet-stream")

STATUS = {
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.DENIED: 403,
    Kind.PAYMENT_REQUIRED: 402,
    Kind.TOO_LARGE: 413,
    Kind.LIMITED: 429,
    Kind.UNAVAILABLE: 503,
    Kind.TIMEOUT: 504,
    Kind.BUG: 500,
}
REQUEST_TIMEOUT = 408  # late was the caller, not the platform
STATUS_OF_CLASS: dict[type[AimassError], int] = {
    SlowBody: REQUEST_TIMEOUT,
    SlowHead: REQUEST_TIMEOUT,
    TooLargeHead: 431,
    WrongMethod: 405,
}
"""Errors for which HTTP has a status of its own."""


class Head:
    """Status and headers that many answers share, as ASGI takes them and as they stand on the wire."""

    __slots__ = ("headers", "status", "wire")

    def __init__(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.headers = headers
        line = b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())
        self.wire = line + b"".join(b"%b: %b\r\n" % header for header in headers)


class Reply:
    """One answer."""

    __slots__ = ("body", "extra", "head", "request_id")

    def __init__(self, head: Head, body: bytes, request_id: str, extra: tuple[Header, ...] = ()) -> None:
        self.head = head
        self.body = body
        self.request_id = request_id
        self.extra = extra

    async def send(self, send: Send, close: bool) -> None:
        """Through ASGI."""
        headers = [*self.head.headers, (b"content-length", b"%d" % len(self.body)), *self.extra]
        headers.append((b"x-aimass-request-id", self.request_id.encode()))
        if close:
            headers.append(CLOSE)
        await send({"type": "http.response.start", "status": self.head.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    def wire(self, more: bytes) -> bytes:
        """As bytes; ``more`` are header lines of the connection's own."""
        extra = b"".join([b"%b: %b\r\n" % header for header in self.extra]) if self.extra else b""
        return b"%bcontent-length: %d\r\nx-aimass-request-id: %b\r\n%b%b\r\n%b" % (
            self.head.wire,
            len(self.body),
            self.request_id.encode(),
            extra,
            more,
            self.body,
        )


def json_reply(value: Any, request_id: str, status: int = 200) -> Reply:
    """An answer that is off the hot path."""
    return Reply(Head(status, [JSON]), orjson.dumps(value), request_id)


def as_ours(error: Exception) -> AimassError:
    """An error of ours as it is; any other as a ``Bug`` that names it without its inner life."""
    if isinstance(error, AimassError):
        return error
    return Bug(f"the platform failed ({type(error).__name__}); its home's logs have the traceback, by the request id")


def refusal(error: AimassError, request_id: str, revision: int = 0) -> Reply:
    """OIP's ``error``, and beside it the kind, the field, the request and, where one was chosen, the revision."""
    headers = [JSON]
    if revision:
        headers.append((b"x-aimass-revision", b"%d" % revision))
    if error.retry_after_s > 0:
        headers.append((b"retry-after", b"%d" % max(1, -int(-error.retry_after_s // 1))))
    if error.kind is Kind.UNAUTHENTICATED:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, WrongMethod):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    body = {"error": str(error), "kind": error.kind.value, "field": error.field or None, "request_id": request_id}
    status = STATUS_OF_CLASS.get(type(error), STATUS[error.kind])
    return Reply(Head(status, headers), orjson.dumps(body), request_id)


async def unless_gone(answer: Awaitable[Reply], receive: Receive) -> Reply | None:
    """The answer; or None when the caller hangs up first, and then the answer is cancelled."""

    async def hear() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    work, gone = asyncio.ensure_future(answer), asyncio.ensure_future(hear())
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        work.cancel()
        gone.cancel()


async def keep_lifespan(receive: Receive, send: Send) -> None:
    """ASGI's lifespan for an application that has nothing to start or stop."""
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
