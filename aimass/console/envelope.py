"""Around every request of the control API: its id, its bounds, and each error as the one body that ours have."""

import contextlib
import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from aimass.console.intake import Intake, Limit
from aimass.control.context import Context
from aimass.core.errors import AimassError, Bug, Invalid, Kind, NotFound
from aimass.core.events import Trace
from aimass.core.ids import new_id
from aimass.gateway.door import App
from aimass.gateway.protocols.http import CLOSE, as_ours, refusal
from aimass.monitoring.recorder import Recorder

HEADER = b"x-aimass-request-id"
UPLOADS = "/versions"  # what is sent there is a model
_log = logging.getLogger(__name__)


class Envelope:
    """ASGI around ASGI: bodies are bounded, answers carry the request's id, an unread body ends its connection."""

    def __init__(self, app: App, max_body_bytes: int, max_upload_bytes: int) -> None:
        self._app = app
        self._body = Limit(max_body_bytes, "AIMASS_MAX_BODY_BYTES")
        self._upload = Limit(max_upload_bytes, "AIMASS_MAX_UPLOAD_BYTES")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        intake = Intake(scope, receive, self._upload if scope["path"].endswith(UPLOADS) else self._body)

        answered = False

        async def send_named(message: Any) -> None:
            nonlocal answered
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
            answered = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            await self._app(scope, intake.receive, send_named)
        except Exception as error:
            # Starlette answers, then raises for the server's log, and the server cuts a connection that could go on.
            if not answered:
                _log.error("request %s broke off", request_id, exc_info=error)
                raise


def handle_errors(app: FastAPI) -> None:
    """Every error leaves as {error, kind, field, request_id}, whoever raised it."""

    def ours(request: Request, error: Exception) -> Response:
        return _refuse(request, error)

    def unexpected(request: Request, error: Exception) -> Response:
        return _refuse(request, error)

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


def _refuse(request: Request, error: Exception) -> Response:
    request_id, ours = request.state.request_id, as_ours(error)
    reply = refusal(ours, request_id)
    if isinstance(ours, Bug):
        _log.error("%s %s, request %s failed", request.method, request.url.path, request_id, exc_info=error)
        _write_down(request.app.state.context, Trace(request_id, status=reply.head.status, error=repr(error)))
    headers = {name.decode(): value.decode() for name, value in reply.head.headers}
    return Response(reply.body, reply.head.status, headers)


def _write_down(context: Context, trace: Trace) -> None:
    """Among the requests, where `aimass logs` finds it."""
    trace.error_kind, trace.protocol = Kind.BUG.value, "control"
    recorder = Recorder(context.settings.home.logs, "console", 0.0, context.clock)
    recorder.record(trace)
    with contextlib.suppress(OSError):
        recorder.flush()
