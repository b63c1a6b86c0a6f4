"""ModelStreamInfer as Triton's clients use it: order, errors in the stream, and callers that stop reading."""

import asyncio
import json
import queue
import threading
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_sync
from tritonclient.grpc import service_pb2

from aimass.core.batch import Batch
from aimass.gateway.grpc import streaming
from aimass.gateway.grpc.streaming import UNDER_WAY
from aimass.gateway.state import GatewayState
from aimass.testing.gateway import BEARER, Gateway, StubPlan, key, scores, service
from tests.gateway.grpc_door.grpc_kit import KEY, SERVICE, infer, opened, read, refusal, request
from tests.waiting import until


def _stream(channel: grpc.aio.Channel, requests: Any = None, metadata: Any = KEY) -> Any:
    method = channel.stream_stream(
        f"{SERVICE}/ModelStreamInfer",
        lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
        service_pb2.ModelStreamInferResponse.FromString,
    )
    return method(requests, metadata=metadata)


def _plan(call: Any = None, inline_rows: int = 0) -> StubPlan:
    def by_numpy(batch: Batch) -> Batch:
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    return StubPlan(call or by_numpy, inline_rows=inline_rows)


def test_triton_streams(gateway: Gateway) -> None:
    found: queue.Queue[tuple[Any, Any]] = queue.Queue()

    def talk(address: str) -> None:
        with triton_sync.InferenceServerClient(address) as client:
            client.start_stream(lambda result, error: found.put((result, error)), headers=BEARER)
            for number in range(5):
                rows = np.full((1, 4), number, np.float32)
                given = triton_sync.InferInput("x", [1, 4], "FP32")
                given.set_data_from_numpy(rows)
                client.async_stream_infer(
                    "iris" if number != 2 else "nope", [given], request_id=str(number), enable_empty_final_response=True
                )
            client.stop_stream()

    async def serve() -> None:
        async with opened(gateway) as address:
            await asyncio.to_thread(talk, address)

    asyncio.run(serve())
    answers = [found.get_nowait() for _ in range(5)]
    for number, (result, error) in enumerate(answers):
        if number == 2:
            assert "no service 'nope'" in str(error)
            continue
        assert result.get_response().id == str(number)
        assert result.get_response().parameters["triton_final_response"].bool_param
        np.testing.assert_allclose(result.as_numpy("scores"), scores(np.full((1, 4), number)), rtol=1e-6)


async def test_answers_keep_the_order_of_their_calls(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    first = threading.Event()

    def call(batch: Batch) -> Batch:
        if (batch["x"][:, 0] == 2).any():
            first.set()
        else:
            first.wait(10)
        return _plan().call(batch)

    gateway.serve(_plan(call).loaded, max_concurrent=2)

    async def requests() -> AsyncIterator[Any]:
        for number in range(3):
            yield request([[number, 1, 2, 3]], id=str(number))

    ids = [answer.infer_response.id async for answer in _stream(channel, requests())]
    assert ids == ["0", "1", "2"]


async def test_a_bad_call_does_not_end_the_stream(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    async def requests() -> AsyncIterator[Any]:
        yield b"\xff\xff"
        yield request(model_version="9", id="wrong")
        yield request(id="right")

    answers = [answer async for answer in _stream(channel, requests())]
    assert "cannot be decoded" in answers[0].error_message
    assert "no revision 9" in answers[1].error_message
    assert [answer.infer_response.id for answer in answers] == ["", "wrong", "right"]
    assert not answers[2].error_message
    np.testing.assert_allclose(read(answers[2].infer_response, "scores")[0], scores([[1, 2, 3, 4]])[0], rtol=1e-6)
    assert len(gateway.events()) == 1


async def test_each_answer_of_a_stream_names_its_request_and_revision(
    channel: grpc.aio.Channel, gateway: Gateway
) -> None:
    async def requests() -> AsyncIterator[Any]:
        for number in range(3):
            yield request(model_name="rose" if number == 1 else "iris")

    found = [answer.infer_response async for answer in _stream(channel, requests())]
    named = [answer.parameters["x-aimass-request-id"].string_param for answer in found]
    assert [answer.model_version for answer in found] == ["1", "", "1"]
    metered = [json.loads(line)["request_id"] for line in gateway.events()]
    assert sorted(metered) == sorted(named[::2]) and len(set(named)) == 3 and all(named)


async def test_a_stream_without_a_good_key_ends(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    call = _stream(channel, metadata=())
    await call.write(request())
    assert (await refusal(call.read()))[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_a_key_that_is_revoked_ends_the_stream(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    call = _stream(channel)
    await call.write(request())
    assert not (await call.read()).error_message
    gateway.app.apply(GatewayState(9, (key("key-2", "aim_other"),), (service(),)), {("iris", 1): _plan().loaded})
    await call.write(request())
    code, details, _ = await refusal(call.read())
    assert (code, "revoked" in details) == (grpc.StatusCode.UNAUTHENTICATED, True)


async def test_a_caller_that_stops_reading_holds_only_itself(
    channel: grpc.aio.Channel, gateway: Gateway, address: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(streaming, "STALL_S", 0.5)
    wide = np.zeros((1, 400_000), np.float32)  # an answer of 1.6 MB: more than gRPC buffers
    ran = []

    def call(batch: Batch) -> Batch:
        ran.append(1)
        return {"label": np.zeros(1, np.int64), "scores": wide}

    gateway.serve(_plan(call, inline_rows=9).loaded)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as lazy:
        stalled = _stream(lazy)
        writing = asyncio.ensure_future(_write_on(stalled, 200))
        answered = 0
        while not _is_served() or len(ran) - answered < 2:
            await infer(channel)(request(), metadata=KEY)
            answered += 1
        while _is_served():  # until the door gives it up
            await infer(channel)(request(), metadata=KEY)
            answered += 1
        writing.cancel()
        assert len(ran) - answered <= UNDER_WAY + 4, "it must not be worked for without bound"
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            while True:
                await stalled.read()
        assert ended.value.code() is grpc.StatusCode.CANCELLED
        assert "no answer was taken" in str(ended.value.details())


def _is_served() -> bool:
    """Whether the door reads from some stream."""
    return any("StreamInfer._read" in repr(task) for task in asyncio.all_tasks())


async def _write_on(call: Any, count: int) -> None:
    for _ in range(count):
        await call.write(request())
    await call.done_writing()


async def test_a_caller_that_leaves_takes_its_calls_along(gateway: Gateway, address: str) -> None:
    release, ran = threading.Event(), []

    def call(batch: Batch) -> Batch:
        ran.append(1)
        release.wait(20)
        return _plan().call(batch)

    gateway.serve(_plan(call).loaded, max_concurrent=1)
    slot = gateway.app.table.services["iris"].targets[1].slot
    async with grpc.aio.insecure_channel(address) as leaving:
        stream = _stream(leaving)
        for _ in range(4):
            await stream.write(request())
        await until(lambda: slot.waiting >= 3)
        stream.cancel()
        await until(lambda: not slot.waiting)
    release.set()
    await until(lambda: not slot.running)
    assert ran == [1]
    assert not gateway.events()


def test_streams_in_many_hands_do_not_mix(gateway: Gateway) -> None:
    async def talk(address: str, seed: int) -> None:
        random = np.random.default_rng(seed)
        rows = [random.normal(size=(int(random.integers(1, 5)), 4)).astype(np.float32) for _ in range(30)]

        async def requests() -> AsyncIterator[Any]:
            for item in rows:
                yield request(item)

        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            answers = [answer async for answer in _stream(channel, requests())]
        for item, answer in zip(rows, answers, strict=True):
            np.testing.assert_allclose(read(answer.infer_response, "scores"), scores(item), rtol=1e-4, atol=1e-5)

    async def all_at_once() -> None:
        async with opened(gateway) as address:
            await asyncio.gather(*[talk(address, seed) for seed in range(6)])

    asyncio.run(all_at_once())
    assert len(gateway.events()) == 180
