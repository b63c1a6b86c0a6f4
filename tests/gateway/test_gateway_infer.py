"""Good requests: each form of asking, and the answer against numpy."""

import gzip
import json
import zlib
from typing import Any

import httpx
import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.testing.gateway import INFER, ROWS, SIGNATURE, Gateway, StubPlan, body, connect, scores


def _outputs(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found = {item["name"]: item for item in answer.json()["outputs"]}
    return {name: np.array(item["data"]).reshape(item["shape"]) for name, item in found.items()}


def _binary(document: dict[str, Any], raw: bytes) -> tuple[bytes, dict[str, str]]:
    header = json.dumps(document).encode()
    return header + raw, {"inference-header-content-length": str(len(header))}


async def test_json_rows_get_the_models_answer(client: httpx.AsyncClient) -> None:
    answer = await client.post(INFER, json=body())
    found = _outputs(answer)
    np.testing.assert_allclose(found["scores"], scores(ROWS), rtol=1e-6)
    assert found["label"].tolist() == scores(ROWS).argmax(1).tolist()
    document = answer.json()
    assert (document["model_name"], document["model_version"]) == ("iris", "1")
    assert "id" not in document
    assert [item["datatype"] for item in document["outputs"]] == ["INT64", "FP32"]


async def test_answer_names_request_revision_and_plan(client: httpx.AsyncClient) -> None:
    first = await client.post(INFER, json=body(id="mine"))
    second = await client.post(INFER, json=body())
    assert first.headers["x-aimass-revision"] == "1"
    assert first.headers["x-aimass-plan"] == "merged"
    assert first.headers["x-aimass-request-id"] != second.headers["x-aimass-request-id"]
    assert first.json()["id"] == "mine"


@pytest.mark.parametrize("value", ["", 'a "quoted" one', "ünïcode\n", "x" * 500])
async def test_any_id_comes_back(client: httpx.AsyncClient, gateway: Gateway, value: str) -> None:
    answer = await client.post(INFER, json=body(id=value))
    assert answer.json().get("id", "") == value
    assert json.loads(gateway.events()[-1])["client_id"] == value


@pytest.mark.parametrize("data", [ROWS, [1, 2, 3, 4, 0.5, -1, 0.25, 2], [1e0, 2e0, 3e0, 4e0, 5e-1, -1, 0.25, 2]])
async def test_numbers_may_be_nested_and_whole(client: httpx.AsyncClient, data: list[Any]) -> None:
    request = body()
    request["inputs"][0]["data"] = data
    np.testing.assert_allclose(_outputs(await client.post(INFER, json=request))["scores"], scores(ROWS), rtol=1e-6)


async def test_chosen_outputs_come_alone_and_in_their_order(client: httpx.AsyncClient) -> None:
    answer = await client.post(INFER, json=body(outputs=[{"name": "scores"}]))
    assert list(_outputs(answer)) == ["scores"]
    answer = await client.post(INFER, json=body(outputs=[{"name": "scores"}, {"name": "label"}]))
    assert list(_outputs(answer)) == ["scores", "label"]


async def test_a_version_can_be_named(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v2/models/iris/versions/1/infer", json=body())
    np.testing.assert_allclose(_outputs(answer)["scores"], scores(ROWS), rtol=1e-6)


async def test_binary_in_and_out(client: httpx.AsyncClient) -> None:
    raw = np.array(ROWS, dtype="<f4").tobytes()
    document = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 4], "parameters": {"binary_data_size": len(raw)}}],
        "parameters": {"binary_data_output": True},
        "id": "odd",  # leaves the tensor unaligned
    }
    content, headers = _binary(document, raw)
    answer = await client.post(INFER, content=content, headers=headers)
    assert answer.status_code == 200
    split = int(answer.headers["inference-header-content-length"])
    described = json.loads(answer.content[:split])
    assert answer.headers["content-type"] == "application/octet-stream"
    rest = answer.content[split:]
    for item in described["outputs"]:
        size = item["parameters"]["binary_data_size"]
        dtype = {"INT64": "<i8", "FP32": "<f4"}[item["datatype"]]
        array = np.frombuffer(rest[:size], dtype).reshape(item["shape"])
        want = scores(ROWS) if item["name"] == "scores" else scores(ROWS).argmax(1)
        np.testing.assert_allclose(array, want, rtol=1e-6)
        rest = rest[size:]
    assert rest == b""


async def test_one_output_binary_beside_one_in_json(client: httpx.AsyncClient) -> None:
    wanted = [{"name": "label"}, {"name": "scores", "parameters": {"binary_data": True}}]
    answer = await client.post(INFER, json=body(outputs=wanted))
    split = int(answer.headers["inference-header-content-length"])
    label, score = json.loads(answer.content[:split])["outputs"]
    assert label["data"] == scores(ROWS).argmax(1).tolist()
    assert score["parameters"]["binary_data_size"] == len(answer.content) - split == 24


async def test_binary_in_and_json_out(client: httpx.AsyncClient) -> None:
    raw = np.array(ROWS, dtype="<f4").tobytes()
    document = body()
    document["inputs"][0].pop("data")
    document["inputs"][0]["parameters"] = {"binary_data_size": len(raw)}
    content, headers = _binary(document, raw)
    answer = await client.post(INFER, content=content, headers=headers)
    np.testing.assert_allclose(_outputs(answer)["scores"], scores(ROWS), rtol=1e-6)


def _raw_deflate(data: bytes) -> bytes:
    machine = zlib.compressobj(6, zlib.DEFLATED, -15)
    return machine.compress(data) + machine.flush()


@pytest.mark.parametrize(
    ("encoding", "squeeze"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", _raw_deflate), ("identity", bytes)],
)
async def test_deflated_bodies_are_read(client: httpx.AsyncClient, encoding: str, squeeze: Any) -> None:
    content = squeeze(json.dumps(body()).encode())
    answer = await client.post(INFER, content=content, headers={"content-encoding": encoding})
    np.testing.assert_allclose(_outputs(answer)["scores"], scores(ROWS), rtol=1e-6)


@pytest.mark.parametrize(
    ("accepted", "used"),
    [("gzip", "gzip"), ("deflate", "deflate"), ("br, gzip;q=0.5", "gzip"), ("gzip;q=0, *", "deflate"), ("br", None)],
)
async def test_large_answers_leave_as_the_caller_accepts(
    client: httpx.AsyncClient, accepted: str, used: str | None
) -> None:
    rows = np.arange(400, dtype=np.float32).reshape(100, 4)
    answer = await client.post(INFER, json=body(rows.tolist()), headers={"accept-encoding": accepted})
    assert answer.headers.get("content-encoding") == used
    np.testing.assert_allclose(_outputs(answer)["scores"], scores(rows), rtol=1e-5)


async def test_nan_and_infinity_leave_as_null_and_as_they_are_in_binary(gateway: Gateway) -> None:
    def odd(batch: Batch) -> Batch:
        rows = len(batch["x"])
        return {"label": np.zeros(rows, np.int64), "scores": np.array([[np.nan, np.inf, 1.5]] * rows, np.float32)}

    gateway.serve(StubPlan(odd, inline_rows=10).loaded)
    async with connect(gateway.app) as client:
        answer = await client.post(INFER, json=body(ROWS[:1]))
        assert answer.json()["outputs"][1]["data"] == [None, None, 1.5]
        wanted = [{"name": "scores", "parameters": {"binary_data": True}}]
        answer = await client.post(INFER, json=body(ROWS[:1], outputs=wanted))
        raw = answer.content[int(answer.headers["inference-header-content-length"]) :]
        assert np.array_equal(np.frombuffer(raw, "<f4"), [np.nan, np.inf, 1.5], equal_nan=True)


async def test_a_long_call_runs_in_a_thread_and_is_metered_by_node(gateway: Gateway) -> None:
    plan = StubPlan(lambda batch: {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])})
    gateway.serve(plan.loaded)
    async with connect(gateway.app, "direct") as client:
        np.testing.assert_allclose(_outputs(await client.post(INFER, json=body()))["scores"], scores(ROWS), rtol=1e-6)
    event = json.loads(gateway.events()[-1])
    assert event["node_us"].keys() == {"fused"}


async def test_metadata_of_server_model_and_index(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v2")).json()["extensions"] == ["binary_tensor_data", "model_repository"]
    for path in ("/v2/models/iris", "/v2/models/iris/versions/1"):
        document = (await client.get(path)).json()
        assert document["versions"] == ["1"]
        assert document["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
        assert [item["name"] for item in document["outputs"]] == [spec.name for spec in SIGNATURE.outputs]
    index = (await client.post("/v2/repository/index", json={})).json()
    assert index == [{"name": "iris", "version": "1", "state": "READY", "reason": ""}]


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/-/healthz"])
async def test_health_needs_no_key(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path, headers={"authorization": ""})).status_code == 200


async def test_models_are_ready(client: httpx.AsyncClient) -> None:
    for path in ("/v2/models/iris/ready", "/v2/models/iris/versions/1/ready"):
        assert (await client.get(path)).status_code == 200


async def test_a_replica_without_a_state_is_not_ready(tmp_path: Any) -> None:
    async with connect(Gateway(tmp_path).app) as client:
        assert (await client.get("/v2/health/ready")).status_code == 503
        assert (await client.get("/v2/health/live")).status_code == 200


async def test_every_answered_call_is_in_the_journal(client: httpx.AsyncClient, gateway: Gateway) -> None:
    for count in range(1, 4):
        answer = await client.post(INFER, json=body())
        event = json.loads(gateway.events()[-1])
        assert len(gateway.events()) == event["seq"] == count
        assert event["request_id"] == answer.headers["x-aimass-request-id"]
        assert (event["service"], event["revision"], event["key_id"], event["rows"]) == ("iris", 1, "key-1", 2)
        assert event["bytes_out"] == len(answer.content)
    await client.post(INFER, json={})
    assert len(gateway.events()) == 3
