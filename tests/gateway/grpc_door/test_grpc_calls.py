"""Good calls through the gRPC door, most by Triton's own client, and the answers against numpy."""

import asyncio
import json
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_sync
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import aimass
from aimass.core.batch import Batch
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.gateway.state import GatewayState
from aimass.testing.gateway import BEARER, ROWS, Gateway, StubPlan, key, scores, service
from tests.gateway.grpc_door.grpc_kit import KEY, infer, opened, read, refusal, request


def _input(rows: Any = ROWS) -> Any:
    values = np.array(rows, np.float32)
    made = triton_sync.InferInput("x", list(values.shape), "FP32")
    made.set_data_from_numpy(values)
    return made


async def test_triton_gets_the_models_answer(client: Any, gateway: Gateway) -> None:
    answer = await client.infer("iris", [_input()], headers=BEARER, request_id="mine")
    np.testing.assert_allclose(answer.as_numpy("scores"), scores(ROWS), rtol=1e-6)
    assert answer.as_numpy("label").tolist() == scores(ROWS).argmax(1).tolist()
    told = answer.get_response()
    assert (told.model_name, told.model_version, told.id) == ("iris", "1", "mine")
    event = json.loads(gateway.events()[-1])
    assert (event["client_id"], event["rows"]) == ("mine", 2)


async def test_triton_may_ask_for_outputs_versions_and_compression(client: Any) -> None:
    wanted = [triton_sync.InferRequestedOutput("scores")]
    for compression in (None, "gzip", "deflate"):
        answer = await client.infer(
            "iris",
            [_input([ROWS[0]] * 100)],
            model_version="1",
            outputs=wanted,
            headers=BEARER,
            compression_algorithm=compression,
        )
        np.testing.assert_allclose(answer.as_numpy("scores"), scores([ROWS[0]] * 100), rtol=1e-6)
        assert [output.name for output in answer.get_response().outputs] == ["scores"]


async def test_triton_asks_what_there_is(client: Any) -> None:
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("iris", headers=BEARER)
    assert await client.is_model_ready("iris", "1", headers=BEARER)
    server = await client.get_server_metadata(headers=BEARER)
    assert (server.name, server.version) == ("aimass", aimass.__version__)
    model = await client.get_model_metadata("iris", headers=BEARER)
    assert (list(model.versions), model.platform) == (["1"], "aimass_merged")
    assert [(item.name, item.datatype, list(item.shape)) for item in model.inputs] == [("x", "FP32", [-1, 4])]
    assert [item.name for item in model.outputs] == ["label", "scores"]
    index = await client.get_model_repository_index(headers=BEARER)
    assert [(item.name, item.version, item.state) for item in index.models] == [("iris", "1", "READY")]


async def test_a_service_that_is_not_loaded_is_not_ready(client: Any, gateway: Gateway) -> None:
    gateway.app.apply(GatewayState(9, (key(),), (service("rose"),)), {})
    assert not await client.is_model_ready("rose", headers=BEARER)
    assert not await client.is_model_ready("rose", "1", headers=BEARER)
    index = await client.get_model_repository_index(headers=BEARER)
    assert [item.state for item in index.models] == ["UNAVAILABLE"]


async def test_answers_name_request_revision_and_plan(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    call = infer(channel)(request(), metadata=KEY)
    np.testing.assert_allclose(read(await call, "scores"), scores(ROWS), rtol=1e-6)
    told = dict(await call.trailing_metadata())
    assert (told["x-aimass-revision"], told["x-aimass-plan"]) == ("1", "merged")
    assert told["x-aimass-request-id"] == json.loads(gateway.events()[-1])["request_id"]


async def test_typed_contents_come_back_typed(channel: grpc.aio.Channel) -> None:
    asked = request()
    del asked.raw_input_contents[:]
    asked.inputs[0].contents.fp32_contents.extend(np.ravel(ROWS).tolist())
    answer = await infer(channel)(asked, metadata=KEY)
    assert not answer.raw_output_contents
    by_name = {output.name: output for output in answer.outputs}
    found = np.array(by_name["scores"].contents.fp32_contents).reshape(by_name["scores"].shape)
    np.testing.assert_allclose(found, scores(ROWS), rtol=1e-6)
    assert list(by_name["label"].contents.int64_contents) == scores(ROWS).argmax(1).tolist()


KINDS: dict[str, tuple[str, list[Any]]] = {
    "BOOL": ("bool_contents", [True, False]),
    "INT8": ("int_contents", [-128, 127]),
    "INT32": ("int_contents", [-(2**31), 7]),
    "INT64": ("int64_contents", [-(2**63), 7]),
    "UINT16": ("uint_contents", [0, 65535]),
    "UINT64": ("uint64_contents", [0, 2**64 - 1]),
    "FP32": ("fp32_contents", [0.5, -2.25]),
    "FP64": ("fp64_contents", [1e300, -2.25]),
    "BYTES": ("bytes_contents", ["grün".encode(), b""]),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_datatype_goes_both_ways(channel: grpc.aio.Channel, gateway: Gateway, kind: str) -> None:
    field, values = KINDS[kind]
    signature = Signature((TensorSpec("a", Datatype(kind), (-1,)),), (TensorSpec("b", Datatype(kind), (-1,)),))
    gateway.serve(StubPlan(lambda batch: {"b": batch["a"]}, signature, inline_rows=9).loaded)
    asked = request()
    asked.ClearField("inputs")
    asked.ClearField("raw_input_contents")
    asked.inputs.add(name="a", datatype=kind, shape=[2], contents={field: values})
    answer = await infer(channel)(asked, metadata=KEY)
    assert list(getattr(answer.outputs[0].contents, field)) == values


async def test_bytes_go_raw_as_triton_writes_them(client: Any, gateway: Gateway) -> None:
    kinds = ((TensorSpec("a", Datatype.BYTES, (-1,)),), (TensorSpec("b", Datatype.BYTES, (-1,)),))
    gateway.serve(StubPlan(lambda batch: {"b": batch["a"]}, Signature(*kinds), inline_rows=9).loaded)
    words = np.array(["one", "zwölf", ""], dtype=object)
    given_words = triton_sync.InferInput("a", [3], "BYTES")
    given_words.set_data_from_numpy(words)
    answer = await client.infer("iris", [given_words], headers=BEARER)
    assert [word.decode() for word in answer.as_numpy("b")] == words.tolist()


async def test_half_floats_travel_raw(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    kinds = ((TensorSpec("a", Datatype.FP16, (-1,)),), (TensorSpec("b", Datatype.FP16, (-1,)),))
    gateway.serve(StubPlan(lambda batch: {"b": batch["a"]}, Signature(*kinds), inline_rows=9).loaded)
    asked = request()
    asked.ClearField("inputs")
    asked.inputs.add(name="a", datatype="FP16", shape=[2])
    asked.raw_input_contents[0] = np.array([1.5, -2], "<f2").tobytes()
    answer = await infer(channel)(asked, metadata=KEY)
    assert np.frombuffer(answer.raw_output_contents[0], "<f2").tolist() == [1.5, -2]


async def test_long_calls_run_off_the_loop(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    def call(batch: Batch) -> Batch:
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    gateway.serve(StubPlan(call).loaded)
    answers = await asyncio.gather(*[infer(channel)(request([[float(n), 1, 2, 3]]), metadata=KEY) for n in range(20)])
    for number, answer in enumerate(answers):
        np.testing.assert_allclose(read(answer, "scores"), scores([[number, 1, 2, 3]]), rtol=1e-6)


async def test_calls_are_metered_counted_and_logged_as_others(channel: grpc.aio.Channel, gateway: Gateway) -> None:
    await asyncio.gather(*[infer(channel)(request(), metadata=KEY) for _ in range(5)])
    await refusal(infer(channel)(request(model_name="nope"), metadata=KEY))
    assert len(gateway.events()) == 5
    counts = gateway.metrics.snapshot().requests
    assert (counts["iris", "1", "200"], counts["", "", "404"]) == (5, 1)
    gateway.recorder.flush()
    lines = [json.loads(line) for path in gateway.folder.glob("logs/*.jsonl") for line in path.read_text().splitlines()]
    assert [line["protocol"] for line in lines] == ["grpc"] * 6
    assert lines[0]["bytes_in"] == request().ByteSize()


async def test_whoever_asks_learns_what_is_spoken(address: str) -> None:
    def look() -> tuple[set[str], Any]:
        with grpc.insecure_channel(address) as plain:
            found = ProtoReflectionDescriptorDatabase(plain)
            return set(found.get_services()), found.FindFileContainingSymbol("inference.GRPCInferenceService")

    names, file = await asyncio.to_thread(look)
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= names
    assert "ModelStreamInfer" in [method.name for method in file.service[0].method]


async def test_tls_speaks_only_tls(gateway: Gateway, certificate: tuple[Any, Any]) -> None:
    async with opened(gateway, tls=certificate) as where:
        trusted = grpc.ssl_channel_credentials(certificate[0].read_bytes())
        async with grpc.aio.secure_channel(where, trusted) as channel:
            np.testing.assert_allclose(
                read(await infer(channel)(request(), metadata=KEY), "scores"), scores(ROWS), rtol=1e-6
            )
        async with grpc.aio.insecure_channel(where) as channel:
            assert (await refusal(infer(channel)(request(), metadata=KEY)))[0] is grpc.StatusCode.UNAVAILABLE


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
async def test_many_callers_each_get_their_own_rows(address: str, seed: int) -> None:
    random = np.random.default_rng(seed)

    async def call_on() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            for _ in range(10):
                rows = random.normal(size=(int(random.integers(1, 9)), 4)).astype(np.float32)
                answer = await infer(channel)(request(rows), metadata=KEY)
                np.testing.assert_allclose(read(answer, "scores"), scores(rows), rtol=1e-4, atol=1e-5)

    await asyncio.gather(*[call_on() for _ in range(12)])
