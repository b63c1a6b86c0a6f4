"""Calls that must fail: each with the status that fits, a text that names what is wrong, and nothing metered."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from aimass.core.batch import Batch
from aimass.core.clock import ManualClock
from aimass.core.errors import AimassError, Kind
from aimass.gateway.grpc.statuses import STATUS
from aimass.gateway.state import GatewayState
from aimass.testing.gateway import SECRET, Gateway, StubPlan, key, service
from tests.gateway.grpc_door.grpc_kit import KEY, MAX_BYTES, SERVICE, infer, opened, refusal, request, stub
from tests.waiting import until

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def _typed(field: str, values: list[Any]) -> Any:
    made = request()
    del made.raw_input_contents[:]
    getattr(made.inputs[0].contents, field).extend(values)
    return made


def _with(**fields: Any) -> Any:
    made = request()
    for name, value in fields.items():
        setattr(made.inputs[0], name, value) if isinstance(value, str) else made.inputs[0].ClearField(name)
        if not isinstance(value, str):
            getattr(made.inputs[0], name).extend(value)
    return made


def _raw(*contents: bytes) -> Any:
    made = request()
    del made.raw_input_contents[:]
    made.raw_input_contents.extend(contents)
    return made


def _parameter(name: str, **value: Any) -> Any:
    made = request()
    for field, content in value.items():
        setattr(made.parameters[name], field, content)
    return made


def _shared_memory() -> Any:
    made = _raw()
    made.inputs[0].parameters["shared_memory_region"].string_param = "mine"
    return made


def _both() -> Any:
    made = request()
    made.inputs[0].contents.fp32_contents.append(1.0)
    return made


def _twice() -> Any:
    made = request()
    made.inputs.append(made.inputs[0])
    made.raw_input_contents.append(made.raw_input_contents[0])
    return made


def _outputs(name: str, parameter: str = "") -> Any:
    made = request()
    output = made.outputs.add(name=name)
    if parameter:
        output.parameters[parameter].int64_param = 3
    return made


NAN = np.array([[np.nan, 1, 2, 3]])
BAD = {
    "no bytes of a message": (b"\xff\xff\xff", "cannot be decoded"),
    "unknown input": (_with(name="y"), "unknown input 'y'"),
    "wrong datatype": (_with(datatype="FP64"), "datatype FP64, expected FP32"),
    "wrong shape": (_with(shape=[4, 2]), r"expected [-1, 4]"),
    "negative shape": (_with(shape=[-2, -4]), "whole numbers"),
    "no rows": (_with(shape=[0, 4]), "no rows"),
    "huge shape": (_with(shape=[2**62, 4]), "needs"),
    "raw bytes too few": (_raw(b"\0" * 31), "has 31 bytes"),
    "raw bytes too many": (_raw(b"\0" * 36), "has 36 bytes"),
    "more raw tensors than inputs": (_raw(b"\0" * 32, b"\0" * 32), "2 raw_input_contents for 1 inputs"),
    "no input": (service_pb2.ModelInferRequest(model_name="iris"), "input 'x' is missing"),
    "typed and raw contents": (_both(), "typed and raw contents"),
    "an absurd priority": (
        _parameter("priority", uint64_param=2**62),
        "a whole number from 0 to 1000",
    ),
    "a priority in words": (_parameter("priority", string_param="high"), "priority must be a whole number"),
    "an input twice": (_twice(), "given twice"),
    "NaN": (request(NAN), "NaN"),
    "typed NaN": (_typed("fp32_contents", [np.nan] * 8), "NaN"),
    "typed contents too few": (_typed("fp32_contents", [1.0] * 7), "has 7 elements"),
    "typed contents of another kind": (_typed("int_contents", [1] * 8), "fp32_contents"),
    "unknown output": (_outputs("nope"), "unknown output 'nope'"),
    "classification": (_outputs("scores", "classification"), "classification"),
    "shared memory": (_shared_memory(), "shared memory"),
    "timeout that is no number": (_parameter("timeout", string_param="soon"), "parameters.timeout"),
    "negative timeout": (_parameter("timeout", int64_param=-1), "parameters.timeout"),
    "id too long": (request(id="x" * 1025), "1025 characters"),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_named(channel: grpc.aio.Channel, gateway: Gateway, name: str) -> None:
    message, expected = BAD[name]
    code, details, trailers = await refusal(infer(channel)(message, metadata=KEY))
    assert code is INVALID
    assert expected in details
    assert trailers["x-aimass-kind"] == "invalid"
    assert trailers["x-aimass-request-id"]
    assert trailers.get("x-aimass-revision", "1") == "1"  # what is no message came to no revision
    assert not gateway.events()


async def test_integers_out_of_bounds_are_named(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    from aimass.core.signature import Datatype, Signature, TensorSpec

    kinds = ((TensorSpec("x", Datatype.INT8, (-1,)),), (TensorSpec("y", Datatype.INT8, (-1,)),))
    gateway.serve(StubPlan(lambda batch: {"y": batch["x"]}, Signature(*kinds), inline_rows=9).loaded)
    asked = service_pb2.ModelInferRequest(model_name="iris")
    asked.inputs.add(name="x", datatype="INT8", shape=[1], contents={"int_contents": [200]})
    code, details, _ = await refusal(infer(channel)(asked, metadata=KEY))
    assert (code, "beyond INT8" in details) == (INVALID, True)


WHO = {
    "no key": ((), grpc.StatusCode.UNAUTHENTICATED, "no key"),
    "unknown key": ((("authorization", "Bearer aim_bad"),), grpc.StatusCode.UNAUTHENTICATED, "not known"),
    "no bearer": ((("authorization", SECRET),), grpc.StatusCode.UNAUTHENTICATED, "malformed"),
    "key without the scope": ((("authorization", "Bearer aim_reader"),), grpc.StatusCode.PERMISSION_DENIED, "scope"),
}


@pytest.mark.parametrize("name", WHO)
async def test_keys_are_checked(channel: grpc.aio.Channel, gateway: Gateway, name: str) -> None:
    metadata, status, expected = WHO[name]
    gateway.app.apply(
        GatewayState(9, (key(), key("key-2", "aim_reader", scopes=("read",))), (service(),)),
        {("iris", 1): _numpy_plan().loaded},
    )
    code, details, _ = await refusal(infer(channel)(request(), metadata=metadata))
    assert code is status
    assert expected in details


async def test_what_the_http_door_keeps_to_itself_needs_a_key_here_too(channel: grpc.aio.Channel) -> None:
    for method in ("ServerMetadata", "ModelMetadata", "ModelReady", "RepositoryIndex"):
        code, _, _ = await refusal(stub(channel, method, service_pb2.ModelReadyResponse)(b""))
        assert code is grpc.StatusCode.UNAUTHENTICATED, method


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [("nope", "", "no service 'nope'"), ("iris", "7", "no revision 7"), ("", "", "no service")],
)
async def test_what_is_not_there_is_named(channel: grpc.aio.Channel, name: str, version: str, expected: str) -> None:
    asked = request(model_name=name, model_version=version)
    code, details, _ = await refusal(infer(channel)(asked, metadata=KEY))
    assert code is grpc.StatusCode.NOT_FOUND
    assert expected in details


async def test_a_name_cannot_reach_another_path(channel: grpc.aio.Channel) -> None:
    asked = request(model_name="iris/versions/1")
    assert (await refusal(infer(channel)(asked, metadata=KEY)))[0] is grpc.StatusCode.NOT_FOUND


async def test_an_unknown_method_is_named(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    code, details, _ = await refusal(stub(channel, "ModelConfig", service_pb2.ModelConfigResponse)(b"", metadata=KEY))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert "no method 'ModelConfig'" in details
    assert "ModelInfer" in details
    assert gateway.metrics.snapshot().rejections["", "", "not_found"] == 1
    other = channel.unary_unary("/other.Service/Method")
    assert (await refusal(other(b"")))[0] is grpc.StatusCode.UNIMPLEMENTED


async def test_over_long_metadata_is_refused(channel: grpc.aio.Channel) -> None:
    metadata = (*KEY, ("x-long", "y" * 20_000))
    code, details, _ = await refusal(infer(channel)(request(), metadata=metadata))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "metadata" in details
    await infer(channel)(request(), metadata=(*KEY, ("x-short", "y" * 4_000)))


async def test_a_message_over_the_limit_is_refused(channel: grpc.aio.Channel) -> None:
    asked = request([[1.0, 2, 3, 4]] * (MAX_BYTES // 16 + 1))
    code, details, _ = await refusal(infer(channel)(asked, metadata=KEY))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in details
    packed = infer(channel)(asked, metadata=KEY, compression=grpc.Compression.Gzip)
    assert (await refusal(packed))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_rows_over_the_limit_are_refused(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    gateway.serve(_numpy_plan().loaded, max_batch=3)
    code, details, trailers = await refusal(infer(channel)(request([[1.0, 2, 3, 4]] * 4), metadata=KEY))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "at most 3" in details
    assert trailers["x-aimass-kind"] == "too_large"


async def test_a_key_over_its_rate_hears_when_to_come_back(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    gateway.serve(_numpy_plan().loaded, key(rate_per_s=1))
    answers = await asyncio.gather(*[infer(channel)(request(), metadata=KEY) for _ in range(5)], return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(refused) >= 3
    assert refused[0].code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(dict(refused[0].trailing_metadata())["grpc-retry-pushback-ms"]) > 0


DEADLINES = {
    "parameter": (_parameter("timeout", int64_param=50_000), KEY),
    "metadata": (request(), (*KEY, ("x-aimass-deadline-ms", "50"))),
}


@pytest.mark.parametrize("way", DEADLINES)
async def test_a_deadline_ends_a_call(channel: grpc.aio.Channel, gateway: Gateway, way: str) -> None:
    message, metadata = DEADLINES[way]
    release = threading.Event()

    def call(batch: Batch) -> Batch:
        release.wait(20)
        return {}

    gateway.serve(StubPlan(call).loaded)
    try:
        code, details, _ = await refusal(infer(channel)(message, metadata=metadata))
    finally:
        release.set()
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "deadline" in details
    assert not gateway.events()


async def test_a_deadline_that_is_no_number_is_named(channel: grpc.aio.Channel) -> None:
    call = infer(channel)(request(), metadata=(*KEY, ("x-aimass-deadline-ms", "soon")))
    code, details, trailers = await refusal(call)
    assert trailers["x-aimass-revision"] == "1"
    assert (code, "'soon'" in details) == (INVALID, True)


@asynccontextmanager
async def one_call_out(channel: grpc.aio.Channel, gateway: Gateway) -> AsyncIterator[list[int]]:
    """A service that runs one call at a time, and one of two rows that runs until the block ends; the rows of each
    call that has begun to run."""
    release, ran = threading.Event(), list[int]()

    def call(batch: Batch) -> Batch:
        ran.append(len(batch["x"]))
        release.wait(20)
        return _numpy_plan().call(batch)

    gateway.serve(StubPlan(call).loaded, max_concurrent=1)
    first = asyncio.ensure_future(infer(channel)(request(), metadata=KEY))
    await until(lambda: ran)
    try:
        yield ran
    finally:
        release.set()
        await first


async def test_grpcs_own_deadline_stops_what_waits(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    async with one_call_out(channel, gateway) as ran:
        code, _, _ = await refusal(infer(channel)(request([[1.0, 2, 3, 4]]), metadata=KEY, timeout=0.1))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert ran == [2]


async def test_a_caller_that_leaves_takes_its_call_along(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    async with one_call_out(channel, gateway) as ran:
        leaving = infer(channel)(request([[1.0, 2, 3, 4]]), metadata=KEY)
        slot = gateway.app.table.services["iris"].targets[1].slot
        await until(lambda: slot.waiting)
        leaving.cancel()
        await until(lambda: not slot.waiting)
    assert ran == [2]
    assert len(gateway.events()) == 1


async def test_a_bug_is_told_without_its_inner_life(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    def call(batch: Batch) -> Batch:
        raise RuntimeError("secret")

    gateway.serve(StubPlan(call, inline_rows=9).loaded)
    code, details, _ = await refusal(infer(channel)(request(), metadata=KEY))
    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in details


async def test_an_expired_key_is_refused(tmp_path: Any, gateway: Gateway) -> None:
    old = Gateway(tmp_path / "old", clock=ManualClock(2_000.0))
    old.serve(_numpy_plan().loaded, key(expires_at=1_000.0))
    async with opened(old) as where, grpc.aio.insecure_channel(where) as channel:
        code, details, _ = await refusal(infer(channel)(request(), metadata=KEY))
    assert (code, "expired" in details) == (grpc.StatusCode.UNAUTHENTICATED, True)


def test_every_kind_has_a_status() -> None:
    assert set(STATUS) == set(Kind)
    assert {cls.kind for cls in AimassError.__subclasses__()} <= set(STATUS)


async def test_http_at_this_port_gets_no_answer_and_harms_nobody(address: str, channel: grpc.aio.Channel) -> None:
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b"200 OK" not in await reader.read()
    writer.close()
    await infer(channel)(request(), metadata=KEY)


async def test_half_a_message_harms_nobody(address: str, channel: grpc.aio.Channel, gateway: Gateway) -> None:
    async with grpc.aio.insecure_channel(address) as other:
        half = other.stream_unary(f"{SERVICE}/ModelInfer")(metadata=KEY)
        await half.write(request().SerializeToString()[:20])
        await half.done_writing()
        assert (await refusal(half))[0] is INVALID
    await infer(channel)(request(), metadata=KEY)
    assert len(gateway.events()) == 1
    assert json.loads(gateway.events()[0])["rows"] == 2


def _numpy_plan() -> StubPlan:
    from aimass.testing.gateway import scores

    def call(batch: Batch) -> Batch:
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    return StubPlan(call, inline_rows=40)
