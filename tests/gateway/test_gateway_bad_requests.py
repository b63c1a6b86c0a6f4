"""Everything a caller can get wrong: the status, the kind, the field; and the next good request is answered."""

import dataclasses
import gzip
import json
import zlib
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest

from aimass.testing.gateway import INFER, ROWS, Gateway, body, connect, scores


@dataclass
class Bad:
    """A request and what must become of it."""

    name: str
    status: int
    kind: str
    field: str | None = None
    path: str = INFER
    content: bytes | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    says: str = ""


def _json(**changes: Any) -> bytes:
    """A good body with the first input changed."""
    request = body()
    request["inputs"][0].update(changes)
    return json.dumps(request).encode()


def _whole(**changes: Any) -> bytes:
    return json.dumps({**body(), **changes}).encode()


def _without(name: str) -> bytes:
    request = body()
    del request["inputs"][0][name]
    return json.dumps(request).encode()


def _binary(raw: bytes, header_bytes: str | None = None, **changes: Any) -> dict[str, Any]:
    item = {"name": "x", "datatype": "FP32", "shape": [2, 4], "parameters": {"binary_data_size": len(raw)}, **changes}
    header = json.dumps({"inputs": [item]}).encode()
    length = str(len(header)) if header_bytes is None else header_bytes
    return {"content": header + raw, "headers": {"inference-header-content-length": length}}


GOOD = _whole()
FLAT = [value for row in ROWS for value in row]
RAW = np.array(ROWS, "<f4").tobytes()
NAN = np.array([[np.nan, 2, 3, 4], [1, 2, 3, 4]], "<f4").tobytes()
X, OUT = "x", "outputs"

CASES = [
    Bad("unknown service", 404, "not_found", "service", "/v2/models/rose/infer", says="iris"),
    Bad(
        "unknown revision",
        404,
        "not_found",
        "revision",
        "/v2/models/iris/versions/7/infer",
        says="loaded are: 1; if it exists",
    ),
    Bad("revision that is no number", 404, "not_found", "revision", "/v2/models/iris/versions/last/infer"),
    Bad("unknown path", 404, "not_found", path="/v3/models/iris/infer"),
    Bad("no body", 400, "invalid", "body", content=b""),
    Bad("not JSON", 400, "invalid", "body", content=b"hello"),
    Bad("truncated JSON", 400, "invalid", "body", content=GOOD[:-9]),
    Bad("more after the JSON", 400, "invalid", "body", content=GOOD + b"]"),
    Bad("not UTF-8", 400, "invalid", "body", content=b'{"inputs":"\xff"}'),
    Bad("NaN in JSON", 400, "invalid", "body", content=GOOD.replace(b"0.25", b"NaN")),
    Bad("a list", 400, "invalid", "inputs", content=b"[]"),
    Bad("a number", 400, "invalid", "inputs", content=b"3"),
    Bad("no inputs", 400, "invalid", "inputs", content=b"{}"),
    Bad("inputs is an object", 400, "invalid", "inputs", content=b'{"inputs":{}}'),
    Bad("inputs is empty", 400, "invalid", X, content=b'{"inputs":[]}', says="missing"),
    Bad("input is a string", 400, "invalid", "inputs", content=b'{"inputs":["x"]}'),
    Bad("wrong name", 400, "invalid", "y", content=_json(name="y"), says="this service takes: x"),
    Bad("name is a number", 400, "invalid", "inputs", content=_json(name=1)),
    Bad("twice", 400, "invalid", X, content=json.dumps({"inputs": body()["inputs"] * 2}).encode(), says="twice"),
    Bad("wrong datatype", 400, "invalid", X, content=_json(datatype="INT64"), says="expected FP32"),
    Bad("unknown datatype", 400, "invalid", X, content=_json(datatype="float"), says="expected FP32"),
    Bad("no datatype", 400, "invalid", X, content=_without("datatype"), says="expected FP32"),
    Bad("too narrow", 400, "invalid", X, content=_json(shape=[2, 3]), says="expected [-1, 4]"),
    Bad("too few dimensions", 400, "invalid", X, content=_json(shape=[8]), says="expected [-1, 4]"),
    Bad("negative shape", 400, "invalid", X, content=_json(shape=[-2, 4]), says="whole numbers"),
    Bad("shape of halves", 400, "invalid", X, content=_json(shape=[2.0, 4]), says="whole numbers"),
    Bad("shape is a string", 400, "invalid", X, content=_json(shape="2,4"), says="whole numbers"),
    Bad("no shape", 400, "invalid", X, content=_without("shape"), says="whole numbers"),
    Bad("no rows", 400, "invalid", X, content=_json(shape=[0, 4], data=[]), says="no rows"),
    Bad("too few elements", 400, "invalid", X, content=_json(data=FLAT[:-1]), says="7 elements"),
    Bad("too many elements", 400, "invalid", X, content=_json(data=[*FLAT, 1]), says="9 elements"),
    Bad("no data", 400, "invalid", X, content=_without("data"), says="must be a list"),
    Bad("data is a number", 400, "invalid", X, content=_json(data=3), says="must be a list"),
    Bad("strings", 400, "invalid", X, content=_json(data=[*FLAT[:-1], "4"]), says="holds a string"),
    Bad("booleans", 400, "invalid", X, content=_json(data=[*FLAT[:-1], True]), says="holds a boolean"),
    Bad("null where refused", 400, "invalid", X, content=_json(data=[*FLAT[:-1], None]), says="holds null"),
    Bad("objects", 400, "invalid", X, content=_json(data=[*FLAT[:-1], {}]), says="holds an object"),
    Bad("ragged", 400, "invalid", X, content=_json(data=[[1, 2, 3], [4, 5, 6, 7, 8]]), says="nested"),
    Bad("half nested", 400, "invalid", X, content=_json(data=[1, 2, 3, 4, [5, 6, 7, 8]]), says="nested"),
    Bad("too deep", 400, "invalid", X, content=_json(data=[[ROWS[0], ROWS[1]]]), says="nested"),
    Bad("beyond FP32", 400, "invalid", X, content=_json(data=[*FLAT[:-1], 1e39]), says="beyond FP32"),
    Bad("beyond FP64", 400, "invalid", "body", content=GOOD.replace(b"0.25", b"1e999")),
    Bad("huge whole number", 400, "invalid", X, content=_json(data=[*FLAT[:-1], 10**60]), says="beyond FP32"),
    Bad("id is endless", 400, "invalid", "id", content=_whole(id="x" * 1025)),
    Bad("id is a number", 400, "invalid", "id", content=_whole(id=7)),
    Bad("parameters is a list", 400, "invalid", "parameters", content=_whole(parameters=[])),
    Bad("priority", 400, "invalid", "parameters.priority", content=_whole(parameters={"priority": 10**30})),
    Bad("priority below", 400, "invalid", "parameters.priority", content=_whole(parameters={"priority": -1})),
    Bad("priority is a string", 400, "invalid", "parameters.priority", content=_whole(parameters={"priority": "1"})),
    Bad("timeout is a string", 400, "invalid", "parameters.timeout", content=_whole(parameters={"timeout": "1"})),
    Bad("unknown output", 400, "invalid", OUT, content=_whole(outputs=[{"name": "z"}]), says="label, scores"),
    Bad("outputs is an object", 400, "invalid", OUT, content=_whole(outputs={"name": "label"})),
    Bad("outputs is empty", 400, "invalid", OUT, content=_whole(outputs=[])),
    Bad(
        "classification",
        400,
        "invalid",
        OUT,
        content=_whole(outputs=[{"name": "label", "parameters": {"classification": 3}}]),
    ),
    Bad(
        "binary size without a binary part",
        400,
        "invalid",
        X,
        content=_json(parameters={"binary_data_size": 32}),
        says="both",
    ),
    Bad("binary too short", 400, "invalid", X, **_binary(RAW[:-4]), says="needs 32"),
    Bad("binary too long", 400, "invalid", X, **_binary(RAW + b"\0"), says="needs 32"),
    Bad("binary NaN", 400, "invalid", X, **_binary(NAN), says="NaN"),
    Bad("binary size beyond the body", 400, "invalid", X, **_binary(RAW, parameters={"binary_data_size": 64})),
    Bad(
        "binary size below the body", 400, "invalid", "inputs", **_binary(RAW * 2, parameters={"binary_data_size": 32})
    ),
    Bad("binary size negative", 400, "invalid", X, **_binary(RAW, parameters={"binary_data_size": -1})),
    Bad("binary size a string", 400, "invalid", X, **_binary(RAW, parameters={"binary_data_size": "32"})),
    Bad("binary header too long", 400, "invalid", "inference-header-content-length", **_binary(RAW, "9999")),
    Bad("binary header too short", 400, "invalid", "body", **_binary(RAW, "10")),
    Bad("binary header of zero", 400, "invalid", "inference-header-content-length", **_binary(RAW, "0")),
    Bad("binary header no number", 400, "invalid", "inference-header-content-length", **_binary(RAW, "-4")),
    Bad("unknown encoding", 400, "invalid", "content-encoding", content=GOOD, headers={"content-encoding": "br"}),
    Bad("not gzip", 400, "invalid", "content-encoding", content=GOOD, headers={"content-encoding": "gzip"}),
    Bad(
        "gzip cut off",
        400,
        "invalid",
        "content-encoding",
        content=gzip.compress(GOOD)[:-12],
        headers={"content-encoding": "gzip"},
    ),
    Bad(
        "deadline is no number",
        400,
        "invalid",
        "x-aimass-deadline-ms",
        content=GOOD,
        headers={"x-aimass-deadline-ms": "soon"},
    ),
    Bad("deadline passed", 504, "timeout", content=GOOD, headers={"x-aimass-deadline-ms": "0"}),
    Bad("body too large", 413, "too_large", content=b" " * 20_001),
    Bad(
        "too large after inflating",
        413,
        "too_large",
        content=zlib.compress(b" " * 10_000_000),
        headers={"content-encoding": "deflate"},
    ),
    Bad(
        "too large after inflating twice",
        413,
        "too_large",
        content=gzip.compress(gzip.compress(b" " * 10_000_000)),
        headers={"content-encoding": "gzip, gzip"},
    ),
    Bad("too many rows", 413, "too_large", "inputs", content=json.dumps(body([[1, 2, 3, 4]] * 1025)).encode()),
    Bad("no key", 401, "unauthenticated", content=GOOD, headers={"authorization": ""}, says="no key"),
    Bad(
        "other scheme",
        401,
        "unauthenticated",
        content=GOOD,
        headers={"authorization": "Basic aim_good"},
        says="malformed",
    ),
    Bad(
        "malformed key",
        401,
        "unauthenticated",
        content=GOOD,
        headers={"authorization": "Bearer good"},
        says="malformed",
    ),
    Bad(
        "unknown key", 401, "unauthenticated", content=GOOD, headers={"authorization": "Bearer aim_bad"}, says="revoked"
    ),
]


@pytest.mark.parametrize("way", ["memory", "direct"])
async def test_bad_requests_are_refused_and_the_next_good_one_is_answered(gateway: Gateway, way: str) -> None:
    async with connect(gateway.app, way) as client:
        for bad in CASES:
            await _refused(client, bad)
            good = await client.post(INFER, content=GOOD)
            assert good.status_code == 200, f"after {bad.name}: {good.text}"
            assert good.json()["outputs"][1]["data"] == pytest.approx(scores(ROWS).ravel().tolist())


async def _refused(client: httpx.AsyncClient, bad: Bad) -> None:
    answer = await client.post(bad.path, content=GOOD if bad.content is None else bad.content, headers=bad.headers)
    told = answer.json()
    assert answer.status_code == bad.status, f"{bad.name}: {told}"
    assert set(told) == {"error", "kind", "field", "request_id"}, bad.name
    assert told["kind"] == bad.kind, bad.name
    assert told["field"] == bad.field, f"{bad.name}: {told}"
    assert bad.says in told["error"], f"{bad.name}: {told['error']}"
    assert told["request_id"] == answer.headers["x-aimass-request-id"], bad.name
    assert ("www-authenticate" in answer.headers) == (bad.status == 401), bad.name


async def test_wrong_method_is_told_the_right_one(client: httpx.AsyncClient) -> None:
    answer = await client.get(INFER)
    assert answer.status_code == 405
    assert "takes POST, not GET" in answer.json()["error"]


async def test_nothing_is_metered_for_a_refusal(gateway: Gateway) -> None:
    async with connect(gateway.app) as client:
        for bad in CASES:
            await _refused(client, bad)
    assert gateway.events() == []


async def test_a_fault_of_ours_is_500_and_says_no_more_than_its_name(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.app.table.services["iris"].targets[1].answers = None  # type: ignore[assignment]
    async with connect(gateway.app) as client:
        answer = await client.post(INFER, content=GOOD)
    assert answer.status_code == 500
    assert answer.json()["kind"] == "bug"
    assert "AttributeError" in answer.json()["error"]
    assert answer.headers["x-aimass-request-id"] in caplog.text
    assert answer.headers["x-aimass-revision"] == "1"


async def test_a_refusal_names_the_revision_that_was_chosen_and_none_before_that(client: httpx.AsyncClient) -> None:
    bad = await client.post(INFER, json=body([["no number", 1, 2, 3]]))
    late = await client.post(INFER, json=body(), headers={"x-aimass-deadline-ms": "0"})
    nobody = await client.post(INFER, json=body(), headers={"authorization": "Bearer unknown"})
    elsewhere = await client.post("/v2/models/none/infer", json=body())
    statuses = [answer.status_code for answer in (bad, late, nobody, elsewhere)]
    named = [answer.headers.get("x-aimass-revision") for answer in (bad, late, nobody, elsewhere)]
    assert statuses[:1] + statuses[2:] == [400, 401, 404] and statuses[1] in (400, 504)
    assert named == ["1", "1", None, None]
