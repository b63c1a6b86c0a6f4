"""The gRPC listener of one gateway replica, on a port that its siblings share."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from aimass.core.errors import NotFound, Unavailable
from aimass.gateway.app import GatewayApp
from aimass.gateway.grpc.messages import POOL, SERVICE
from aimass.gateway.grpc.methods import Context, Methods, refuse
from aimass.gateway.grpc.streaming import StreamInfer

STREAM_METHOD = "ModelStreamInfer"
LISTENERS = 24
"""grpc.aio takes one new call per listener and turn of the event loop; with many, and calls that wait two turns for
each other (``codec.turns``), those of 32 connections run together: 7,500 a second instead of 3,200 with one."""
MAX_STREAMS = 256  # calls under way on one connection
MAX_METADATA_BYTES = 16 * 1024
AGE_S = 30.0  # connections live so long where replicas come and go: callers find new ones by connecting anew
GRACE_S = 600.0  # after that time on, a stream that is still open is cut
KEEPALIVE_S = 60.0  # a caller whose machine is gone is found out after that time of silence, and 20 s
HEALTH_S = 1.0
QUIET_S = 0.01  # no call has come for so long
HELD_S = 0.5  # no answer is held longer than that
FINISH_S = 10.0  # calls under way have so long when the door closes


class GrpcDoor:
    """``open`` before any traffic; ``close`` finishes what is under way."""

    def __init__(
        self,
        app: GatewayApp,
        address: tuple[str, int],
        max_message_bytes: int,
        tls: tuple[Path, Path] | None = None,
        moves_callers: bool = False,
    ) -> None:
        """``moves_callers``: connections end after AGE_S, so that callers spread over new replicas."""
        self._app = app
        self._methods = Methods(app)
        self._address = address
        self._tls = tls
        options = {
            "grpc.so_reuseport": 1,
            "grpc.max_receive_message_length": max_message_bytes,
            "grpc.max_send_message_length": -1,
            "grpc.max_concurrent_streams": MAX_STREAMS,
            "grpc.max_metadata_size": MAX_METADATA_BYTES,
            "grpc.absolute_max_metadata_size": MAX_METADATA_BYTES,
            "grpc.keepalive_time_ms": round(KEEPALIVE_S * 1e3),
        }
        if moves_callers:
            options["grpc.max_connection_age_ms"] = round(AGE_S * 1e3)
            options["grpc.max_connection_age_grace_ms"] = round(GRACE_S * 1e3)
        self._servers = [grpc.aio.server(options=list(options.items())) for _ in range(LISTENERS)]
        self._health = health.aio.HealthServicer()
        self._telling: asyncio.Task[None] | None = None
        self.port = address[1]

    async def open(self) -> None:
        """Listen; ``Unavailable`` when the port cannot be had."""
        handlers, messages = _Handlers(self._methods), _all_messages()
        names = [SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME]
        for server in self._servers:
            server.add_generic_rpc_handlers((handlers,))
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            reflection.enable_server_reflection(names, server, pool=messages)
            self.port = self._listen(server)
        await self._tell_health()
        for server in self._servers:
            await server.start()
        self._telling = asyncio.create_task(self._keep_telling())

    async def close(self) -> None:
        """Take no more calls; those under way are finished first.

        gRPC cancels the calls that it has not handed out when it stops. So answers are held back for a moment: whoever
        waits for one sends nothing new, all that has come is handed out, then it stops, and the answers leave.
        """
        if self._telling is None:
            return
        self._telling.cancel()
        self._telling = None
        await self._health.enter_graceful_shutdown()
        held = self._methods.held = asyncio.Event()
        await self._be_quiet()
        stopping = [asyncio.create_task(server.stop(FINISH_S)) for server in self._servers]
        await asyncio.sleep(QUIET_S)
        self._methods.held = None
        held.set()
        await asyncio.gather(*stopping)

    async def _be_quiet(self) -> None:
        loop = asyncio.get_running_loop()
        until, begun = loop.time() + HELD_S, -1
        while loop.time() < until and begun != self._methods.begun:
            begun = self._methods.begun
            await asyncio.sleep(QUIET_S)

    def _listen(self, server: Any) -> int:
        where = f"{self._address[0]}:{self.port}"
        try:
            if self._tls is None:
                return int(server.add_insecure_port(where))
            certificate, key = self._tls
            pair = (key.read_bytes(), certificate.read_bytes())
            return int(server.add_secure_port(where, grpc.ssl_server_credentials([pair])))
        except RuntimeError as error:
            raise Unavailable(f"the gRPC door cannot listen on {where}: {error}") from error

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_S)
            with contextlib.suppress(RuntimeError):
                await self._tell_health()

    async def _tell_health(self) -> None:
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING if self._app.is_ready else statuses.NOT_SERVING
        for name in ("", SERVICE):
            await self._health.set(name, status)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds the handler of a method by its path. Messages stay bytes: the handlers read them."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods
        self._known = {
            f"/{SERVICE}/{name}": grpc.unary_unary_rpc_method_handler(method)
            for name, method in self._methods.unary.items()
        }
        self._known[f"/{SERVICE}/{STREAM_METHOD}"] = grpc.stream_stream_rpc_method_handler(
            StreamInfer(self._methods).serve
        )

    def service(self, details: Any) -> Any:
        """None for other services: their handlers come after this one."""
        known = self._known.get(details.method)
        if known is not None or not details.method.startswith(f"/{SERVICE}/"):
            return known
        return grpc.stream_stream_rpc_method_handler(self._refuse_unknown(details.method))

    def _refuse_unknown(self, path: str) -> Any:
        there = ", ".join(known.rpartition("/")[2] for known in self._known)

        async def refuse_unknown(_: Any, context: Context) -> None:
            error = NotFound(f"{SERVICE} has no method {path.rpartition('/')[2]!r}; there is: {there}", "method")
            refuse(context, self._methods.turn_away(error), grpc.StatusCode.UNIMPLEMENTED)

        return refuse_unknown


def _all_messages() -> DescriptorPool:
    """Ours and those of health and reflection, for whoever asks what this server speaks."""
    pool = DescriptorPool()
    for file in (POOL.FindFileByName("inference.proto"), health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        pool.AddSerializedFile(file.serialized_pb)
    return pool
