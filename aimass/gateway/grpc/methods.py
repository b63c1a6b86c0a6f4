"""What each method of the Open Inference Protocol's service does. All but calls are answered from the door's table."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError

import aimass
from aimass.core.errors import AimassError, Invalid, Kind
from aimass.gateway.app import EXTENSIONS, GatewayApp
from aimass.gateway.grpc.codec import GRPC, Answered, Asked, Refused
from aimass.gateway.grpc.messages import ModelInferRequest, message
from aimass.gateway.grpc.statuses import STATUS
from aimass.gateway.infer import Call

Context = Any  # grpc.aio.ServicerContext, of messages as bytes
Unary = Callable[[bytes, Context], Awaitable[bytes]]
MAX_DETAILS = 2000  # characters; callers take 8 kB of metadata in all

_ServerLiveResponse = message("ServerLiveResponse")
_ServerReadyResponse = message("ServerReadyResponse")
_ServerMetadataResponse = message("ServerMetadataResponse")
_ModelReadyRequest = message("ModelReadyRequest")
_ModelReadyResponse = message("ModelReadyResponse")
_ModelMetadataRequest = message("ModelMetadataRequest")
_ModelMetadataResponse = message("ModelMetadataResponse")
_RepositoryIndexRequest = message("RepositoryIndexRequest")
_RepositoryIndexResponse = message("RepositoryIndexResponse")


class Methods:
    """The unary methods; each takes and gives serialised messages."""

    def __init__(self, app: GatewayApp) -> None:
        self._app = app
        self.begun = 0  # inferences, so far
        self.held: asyncio.Event | None = None  # while the door closes: no answer leaves before this is set
        self.unary: dict[str, Unary] = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ServerMetadata": self.server_metadata,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
            "RepositoryIndex": self.repository_index,
            "ModelInfer": self.infer,
        }

    async def infer(self, body: bytes, context: Context) -> bytes:
        asked = self.read(ModelInferRequest, body)
        answer = asked if isinstance(asked, Refused) else await self.call(asked, len(body), context)
        if self.held is not None:
            await self.held.wait()
        if isinstance(answer, Refused):
            return refuse(context, answer)
        context.set_trailing_metadata(answer.trailers)
        return answer.body

    def call(self, asked: Any, size: int, context: Context) -> Awaitable[Answered | Refused]:
        """What will be the answer to a ModelInferRequest of ``size`` bytes."""
        self.begun += 1
        done: asyncio.Future[Answered | Refused] = asyncio.get_running_loop().create_future()
        scope = scope_of(context, "POST", f"{_path(asked.model_name, asked.model_version)}/infer")
        body = Asked(asked, context.time_remaining())
        return self._app.submit(scope, body, partial(_settle, done), GRPC, size) or done

    def read(self, kind: Any, body: bytes) -> Any:
        """The message, or the refusal of what is none."""
        try:
            return kind.FromString(body)
        except DecodeError:
            name = kind.DESCRIPTOR.name
            return self.turn_away(Invalid(f"the message is not a {name}: it cannot be decoded", "message"), len(body))

    def turn_away(self, error: AimassError, size: int = 0) -> Refused:
        """The answer to what is not even a call, counted as every refusal is."""
        call = self._app.hear({}, GRPC)
        call.received = size
        refused: Refused = self._app.refuse(call, error)
        return refused

    async def server_live(self, body: bytes, context: Context) -> bytes:
        return self._tell(context, "GET", "/v2/health/live", lambda _: _ServerLiveResponse(live=True))

    async def server_ready(self, body: bytes, context: Context) -> bytes:
        return self._tell(context, "GET", "/v2/health/ready", lambda _: _ServerReadyResponse(ready=self._app.is_ready))

    async def server_metadata(self, body: bytes, context: Context) -> bytes:
        extensions = [item for item in EXTENSIONS if item != "binary_tensor_data"]  # which is of HTTP
        own = _ServerMetadataResponse(name="aimass", version=aimass.__version__, extensions=extensions)
        return self._tell(context, "GET", "/v2", lambda _: own)

    async def model_ready(self, body: bytes, context: Context) -> bytes:
        asked = self.read(_ModelReadyRequest, body)
        if isinstance(asked, Refused):
            return refuse(context, asked)
        call = self._app.begin(scope_of(context, "GET", f"{_path(asked.name, asked.version)}/ready"), GRPC)
        if isinstance(call, Call):
            endpoint = call.endpoint
            assert endpoint is not None and endpoint.service is not None
            ready = endpoint.target is not None or endpoint.service.is_ready
        elif call.error.kind is Kind.UNAVAILABLE:
            ready = False
        else:
            return refuse(context, call)
        told: bytes = _ModelReadyResponse(ready=ready).SerializeToString()
        return told

    async def model_metadata(self, body: bytes, context: Context) -> bytes:
        asked = self.read(_ModelMetadataRequest, body)
        if isinstance(asked, Refused):
            return refuse(context, asked)
        return self._tell(context, "GET", _path(asked.name, asked.version), _metadata)

    async def repository_index(self, body: bytes, context: Context) -> bytes:
        asked = self.read(_RepositoryIndexRequest, body)
        if isinstance(asked, Refused):
            return refuse(context, asked)

        def index(_: Call) -> Any:
            rows = self._app.table.index()
            return _RepositoryIndexResponse(models=[row for row in rows if row["state"] == "READY" or not asked.ready])

        return self._tell(context, "GET", "/v2/repository/index", index)

    def _tell(self, context: Context, verb: str, path: str, make: Callable[[Call], Any]) -> bytes:
        """The answer to a call that is no inference: admitted as the HTTP door admits the same."""
        call = self._app.begin(scope_of(context, verb, path), GRPC)
        if not isinstance(call, Call):
            return refuse(context, call)
        try:
            told: bytes = make(call).SerializeToString()
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the caller gets an answer
            return refuse(context, self._app.refuse(call, error))
        return told


def refuse(context: Context, refused: Refused, status: grpc.StatusCode | None = None) -> bytes:
    """Ends a call with an error; the message that goes with it is not sent."""
    context.set_code(status or STATUS[refused.error.kind])
    context.set_details(str(refused.error)[:MAX_DETAILS])
    context.set_trailing_metadata(refused.trailers)
    return b""


def scope_of(context: Context, verb: str, path: str) -> dict[str, Any]:
    """A call as the HTTP door names it."""
    headers = [(key.encode(), value.encode()) for key, value in context.invocation_metadata() if isinstance(value, str)]
    return {"method": verb, "path": path, "headers": headers}


def _settle(done: "asyncio.Future[Any]", answer: Any) -> None:
    if not done.done():  # else the caller has gone meanwhile
        done.set_result(answer)


def _path(name: str, version: str) -> str:
    base = "/v2/models/" + name.replace("/", "%2F")
    return f"{base}/versions/{version.replace('/', '%2F')}" if version else base


def _metadata(call: Call) -> Any:
    assert call.endpoint is not None
    told = call.endpoint.describe(call)
    for tensor in (*told["inputs"], *told["outputs"]):
        tensor.pop("parameters", None)
    return _ModelMetadataResponse(**told)
