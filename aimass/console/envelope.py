"""Around every request of the control API: its id, its size limit, and each error as the one body that ours have."""

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from aimass.core.errors import AimassError, Bug, Invalid, NotFound, TooLarge
from aimass.core.ids import new_id
from aimass.gateway.door import App
from aimass.gateway.protocols.http import as_ours, refusal

HEADER = b"x-aimass-request-id"
_log = logging.getLogger(__name__)


class Envelope:
    """ASGI around ASGI: bodies are read whole up to the limit, and answers carry the request's id."""

    def __init__(self, app: App, max_body_bytes: int) -> None:
        self._app = app
        self._limit = max_body_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_named(message: Any) -> None:
            if message["type"] == "http.response.start" and all(name != HEADER for name, _ in message["headers"]):
                message = {**message, "headers": [*message["headers"], (HEADER, request_id.encode())]}
            await send(message)

        try:
            body = await self._read(scope, receive)
        except TooLarge as error:
            await _answer(error, request_id)(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _replay(body, receive), send_named)

    async def _read(self, scope: Any, receive: Any) -> bytes | None:
        """The body; None when the caller is gone."""
        length = dict(scope["headers"]).get(b"content-length", b"")
        if length.isdigit() and int(length) > self._limit:
            raise self._too_large()
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._limit:
                raise self._too_large()
            if not message.get("more_body"):
                return b"".join(chunks)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body is larger than {self._limit} bytes; AIMASS_MAX_BODY_BYTES raises the limit")


def handle_errors(app: FastAPI) -> None:
    """Every error leaves as {error, kind, field, request_id}, whoever raised it."""

    def ours(request: Request, error: Exception) -> Response:
        return _refuse(request, as_ours(error))

    def unexpected(request: Request, error: Exception) -> Response:
        _log.error("request %s failed", request.state.request_id, exc_info=error)
        return _refuse(request, as_ours(error))

    def not_valid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            reason = first.get("ctx", {}).get("error", "broken off")
            return _refuse(request, Invalid(f"the body is not valid JSON: {reason} at byte {first['loc'][-1]}"))
        field = ".".join(str(part) for part in first["loc"][1:])
        problem = "unknown field; remove it" if first["type"] == "extra_forbidden" else first["msg"]
        return _refuse(request, Invalid(f"{field or first['loc'][0]}: {problem}", field))

    def by_status(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return _refuse(request, NotFound(f"nothing is at {request.url.path}; /docs lists what is"))
        answer = _refuse(request, Invalid(f"{request.method} {request.url.path}: {error.detail}; see /docs"))
        answer.status_code = error.status_code
        answer.headers.update(error.headers or {})
        return answer

    app.add_exception_handler(AimassError, ours)
    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(HTTPException, by_status)
    app.add_exception_handler(Exception, unexpected)


def _refuse(request: Request, error: AimassError) -> Response:
    if isinstance(error, Bug):
        _log.error("request %s: %s", request.state.request_id, error)
    return _answer(error, request.state.request_id)


def _answer(error: AimassError, request_id: str) -> Response:
    reply = refusal(error, request_id)
    headers = {name.decode(): value.decode() for name, value in reply.head.headers}
    return Response(reply.body, reply.head.status, {**headers, HEADER.decode(): request_id})


def _replay(body: bytes, receive: Any) -> Any:
    given = False

    async def receive_again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
