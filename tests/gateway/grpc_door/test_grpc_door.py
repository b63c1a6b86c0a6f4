"""The gRPC door itself: who is told that it serves, a rolling restart under load, a port that is taken."""

import asyncio
import collections
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from aimass.core.errors import Unavailable
from aimass.gateway.grpc.door import GrpcDoor
from aimass.gateway.state import GatewayState
from aimass.testing.gateway import Gateway
from tests.gateway.grpc_door.grpc_kit import KEY, MAX_BYTES, infer, opened, request
from tests.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING


async def test_health_is_told_by_the_standard_service(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", "inference.GRPCInferenceService"):
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await health.Check(health_pb2.HealthCheckRequest(service="nope"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_whoever_watches_sees_it_become_ready_and_leave(tmp_path: Any, gateway: Gateway) -> None:
    fresh = Gateway(tmp_path / "fresh")
    door = GrpcDoor(fresh.app, ("127.0.0.1", 0), MAX_BYTES)
    await door.open()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        fresh.app.apply(GatewayState(1), {})
        assert (await watch.read()).status == SERVING
        closing = asyncio.ensure_future(door.close())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        await closing


async def test_no_call_is_lost_when_doors_follow_one_another(gateway: Gateway) -> None:
    outcomes: collections.Counter[str] = collections.Counter()
    stopping = asyncio.Event()
    door = GrpcDoor(gateway.app, ("127.0.0.1", 0), MAX_BYTES)
    await door.open()
    address = f"127.0.0.1:{door.port}"

    async def call_on() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            while not stopping.is_set():
                try:
                    await infer(channel)(request(), metadata=KEY)
                    outcomes["answered"] += 1
                except grpc.aio.AioRpcError as error:
                    outcomes[f"{error.code().name}: {error.details()}"] += 1

    async def fifty_more() -> None:
        before = outcomes["answered"]
        await until(lambda: outcomes["answered"] >= before + 50)

    callers = [asyncio.ensure_future(call_on()) for _ in range(12)]
    for _ in range(4):
        successor = GrpcDoor(gateway.app, ("127.0.0.1", door.port), MAX_BYTES)
        await successor.open()
        await fifty_more()
        await door.close()
        door = successor
    stopping.set()
    await asyncio.gather(*callers)
    await door.close()
    assert set(outcomes) == {"answered"}, outcomes
    assert len(gateway.events()) == outcomes["answered"]


async def test_connections_end_of_age_where_replicas_come_and_go(gateway: Gateway, monkeypatch: Any) -> None:
    monkeypatch.setattr("aimass.gateway.grpc.door.AGE_S", 0.3)
    async with opened(gateway, moves_callers=True) as first, grpc.aio.insecure_channel(first) as channel:
        await infer(channel)(request(), metadata=KEY)
        state = channel.get_state()
        while state is not grpc.ChannelConnectivity.IDLE:
            await channel.wait_for_state_change(state)
            state = channel.get_state()
        await infer(channel)(request(), metadata=KEY)
    assert len(gateway.events()) == 2


async def test_a_port_that_is_taken_is_named(gateway: Gateway) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    door = GrpcDoor(gateway.app, ("127.0.0.1", port), MAX_BYTES)
    with pytest.raises(Unavailable, match=str(port)):
        await door.open()
    server.close()
    await server.wait_closed()
