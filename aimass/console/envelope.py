"""Around every request of the control API: its id, its bounds, and each error as the one body that ours have."""

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from aimass.console.intake import Intake
from aimass.core.errors import AimassError, Bug, Invalid, NotFound
from aimass.core.ids import new_id
from aimass.gateway.door import App
from aimass.gateway.protocols.http import CLOSE, as_ours, refusal

HEADER = b"x-aimass-request-id"
_log = logging.getLogger(__name__)


class Envelope:
    """ASGI around ASGI: bodies are bounded, answers carry the request's id, an unread body ends its connection."""

    def __init__(self, app: App, max_body_bytes: int) -> None:
        self._app = app
        self._limit = max_body_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        intake = Intake(scope, receive, self._limit)

        async def send_named(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [item for item in message["headers"] if item[0] != HEADER]
                headers.append((HEADER, request_id.encode()))
                if not intake.is_whole:
                    headers.append(CLOSE)
                message = {**message, "headers": headers}
            elif not intake.is_whole and not message.get("more_body"):
                await send({**message, "more_body": True})
                await intake.discard()
                message = {"type": "http.response.body"}
            await send(message)

        await self._app(scope, intake.receive, send_named)


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

    def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=400)  # nobody reads it

    app.add_exception_handler(AimassError, ours)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(HTTPException, by_status)
    app.add_exception_handler(Exception, unexpected)


def _refuse(request: Request, error: AimassError) -> Response:
    request_id = request.state.request_id
    if isinstance(error, Bug):
        _log.error("request %s: %s", request_id, error)
    reply = refusal(error, request_id)
    headers = {name.decode(): value.decode() for name, value in reply.head.headers}
    return Response(reply.body, reply.head.status, headers)
