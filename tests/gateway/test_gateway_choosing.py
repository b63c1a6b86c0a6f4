"""Which revision a call goes to: by weights, by what its caller is known by, at every door, to the end of the call."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.gateway.protocols import arrays
from aimass.gateway.state import GatewayState, ServiceState, TrafficState
from aimass.serving.arrays import ArraysAnswer, ArraysCall
from aimass.serving.traffic.cut import Cut, recut
from aimass.testing.gateway import INFER, ROWS, SECRET, Gateway, StubPlan, body, connect, heard, key, service
from tests.gateway.grpc_door.grpc_kit import KEY, infer, opened, request

HALVES = {1: 50.0, 2: 50.0}
Ask = Callable[..., Any]


def saying(number: int, **more: Any) -> Any:
    """A plan whose every score is its revision's number."""

    def run(batch: Batch) -> Batch:
        rows = len(batch["x"])
        return {"label": np.full(rows, number), "scores": np.full((rows, 3), number, np.float32)}

    return StubPlan(run, inline_rows=9, **more).loaded


def split(weights: Mapping[int, float], by: str = "", **more: Any) -> ServiceState:
    made = service(weights=weights, revisions=tuple(weights), **more)
    traffic = TrafficState("sticky" if by else "weighted", {"by": by} if by else {}, recut((), weights))
    return ServiceState(made.name, made.account, made.limits, made.weights, made.revisions, traffic)


def serve(gateway: Gateway, state: ServiceState, **plans: Any) -> Gateway:
    gateway.number += 1
    found = {("iris", item.number): plans.get(f"r{item.number}") or saying(item.number) for item in state.revisions}
    gateway.app.apply(GatewayState(gateway.number, (key(), key("key-2", "aim_other")), (state,)), found)
    return gateway


def expected(known: str, weights: Mapping[int, float] | None = None) -> int:
    return Cut(recut((), weights or HALVES), "iris").choose(known)


async def by_http(gateway: Gateway, headers: Mapping[str, str], **more: Any) -> int:
    async with connect(gateway.app) as client:
        answer = await client.post(INFER, json=body(**more), headers=dict(headers))
    assert answer.status_code == 200, answer.text
    assert answer.json()["model_version"] == answer.headers["x-aimass-revision"]
    assert set(answer.json()["outputs"][0]["data"]) == {int(answer.headers["x-aimass-revision"])}
    return int(answer.headers["x-aimass-revision"])


async def by_http_binary(gateway: Gateway, headers: Mapping[str, str], **more: Any) -> int:
    raw = np.array(ROWS, "<f4").tobytes()
    x = {"name": "x", "datatype": "FP32", "shape": [2, 4], "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [x], **more}).encode()
    named = {**headers, "inference-header-content-length": str(len(head))}
    async with connect(gateway.app) as client:
        answer = await client.post(INFER, content=head + raw, headers=named)
    assert answer.status_code == 200, answer.text
    return int(answer.headers["x-aimass-revision"])


async def by_grpc(gateway: Gateway, headers: Mapping[str, str], **more: Any) -> int:
    asked = request()
    for name, value in more.get("parameters", {}).items():
        asked.parameters[name].string_param = value
    async with opened(gateway) as address, grpc.aio.insecure_channel(address) as channel:
        answer = await infer(channel)(asked, metadata=(*KEY, *headers.items()))
    return int(answer.model_version)


async def by_handle(gateway: Gateway, headers: Mapping[str, str], **more: Any) -> int:
    asked = ArraysCall("iris", SECRET, {"x": np.array(ROWS, np.float32)}, headers=headers)
    answer = await arrays.predict(gateway.app, asked)
    assert isinstance(answer, ArraysAnswer), answer
    return answer.revision


DOORS = [by_http, by_http_binary, by_grpc, by_handle]


@pytest.mark.parametrize("ask", DOORS)
async def test_a_caller_stays_at_its_revision_by_a_header_at_every_door(tmp_path: Path, ask: Ask) -> None:
    gateway = serve(Gateway(tmp_path), split(HALVES, "header:X-User"))
    for user in ("ada", "bob", "cem", "dan"):
        assert await ask(gateway, {"x-user": user}) == expected(user)
    assert {expected(user) for user in ("ada", "bob", "cem", "dan")} == {1, 2}


@pytest.mark.parametrize("ask", [by_http, by_http_binary, by_grpc])
async def test_a_caller_stays_by_a_parameter_of_the_request(tmp_path: Path, ask: Ask) -> None:
    gateway = serve(Gateway(tmp_path), split(HALVES, "field:user"))
    for user in ("ada", "bob", "cem", "dan"):
        assert await ask(gateway, {}, parameters={"user": user}) == expected(user)


@pytest.mark.parametrize("ask", DOORS)
async def test_a_caller_stays_by_the_first_element_of_an_input(tmp_path: Path, ask: Ask) -> None:
    gateway = serve(Gateway(tmp_path), split(HALVES, "field:x"))
    assert {await ask(gateway, {}) for _ in range(3)} == {expected("1.0")}
    assert ROWS[0][0] == 1.0


async def test_callers_stay_by_their_keys(tmp_path: Path) -> None:
    gateway = serve(Gateway(tmp_path), split(HALVES, "key"))
    for secret, name in ((SECRET, "key-1"), ("aim_other", "key-2")):
        for _ in range(3):
            assert await by_http(gateway, {"authorization": f"Bearer {secret}"}) == expected(name)


@pytest.mark.parametrize("by", ["header:x-user", "field:user", ""])
async def test_a_call_that_lacks_what_it_could_be_known_by_is_chosen_by_its_request_id(tmp_path: Path, by: str) -> None:
    gateway = serve(Gateway(tmp_path), split(HALVES, by))
    async with connect(gateway.app) as client:
        answers = [await client.post(INFER, json=body()) for _ in range(40)]
    cut = Cut(recut((), HALVES), "iris")
    for answer in answers:
        number, _ = cut.pieces[cut.piece_of(answer.headers["x-aimass-request-id"])]
        assert int(answer.headers["x-aimass-revision"]) == number
    assert len({answer.headers["x-aimass-revision"] for answer in answers}) == 2


async def test_a_body_that_cannot_be_read_is_refused_once_also_where_callers_stay_by_a_field(tmp_path: Path) -> None:
    gateway = serve(Gateway(tmp_path), split(HALVES, "field:x"))
    async with connect(gateway.app) as client:
        answer = await client.post(INFER, json={"inputs": []})
    assert (answer.status_code, answer.json()["field"]) == (400, "x")


async def test_calls_spread_over_revisions_as_the_weights_say_and_the_log_has_the_probability(tmp_path: Path) -> None:
    gateway = serve(Gateway(tmp_path, options={"request_log_per_s": 1e6}), split({1: 90.0, 2: 10.0}))
    async with connect(gateway.app) as client:
        counts = Counter([(await client.post(INFER, json=body())).headers["x-aimass-revision"] for _ in range(400)])
        pinned = await client.post("/v2/models/iris/versions/2/infer", json=body())
        bad = await client.post(INFER, json={"inputs": []})
    assert 15 < counts["2"] < 70
    assert pinned.headers["x-aimass-revision"] == "2"
    gateway.recorder.flush()
    lines = [json.loads(line) for path in (tmp_path / "logs").glob("*.jsonl") for line in path.read_text().splitlines()]
    assert len(lines) == 402
    for line in lines:
        if line["request_id"] == pinned.headers["x-aimass-request-id"]:
            assert "probability" not in line, "nothing was chosen"
        else:
            assert line["probability"] == {1: 0.9, 2: 0.1}[line["revision"]]
    assert bad.headers["x-aimass-request-id"] in {line["request_id"] for line in lines if line["status"] == 400}


async def test_a_version_that_is_named_is_the_revision_that_answers(tmp_path: Path) -> None:
    gateway = serve(Gateway(tmp_path), split({1: 100.0, 2: 0.0}, "header:x-user"))
    async with connect(gateway.app) as client:
        answer = await client.post("/v2/models/iris/versions/2/infer", json=body(), headers={"x-user": "ada"})
        assert answer.json()["outputs"][0]["data"] == [2, 2]
    async with opened(gateway) as address, grpc.aio.insecure_channel(address) as channel:
        assert (await infer(channel)(request(model_version="2"), metadata=KEY)).model_version == "2"


async def test_a_call_ends_at_the_revision_that_it_began_at_when_weights_change_under_it(tmp_path: Path) -> None:
    began, go = threading.Event(), threading.Event()

    def slow(batch: Batch) -> Batch:
        began.set()
        assert go.wait(10)
        return {"label": np.full(len(batch["x"]), 1), "scores": np.full((len(batch["x"]), 3), 1, np.float32)}

    first = StubPlan(slow, inline_rows=0).loaded
    gateway = serve(Gateway(tmp_path), split({1: 100.0, 2: 0.0}), r1=first)
    under_way = asyncio.create_task(by_http(gateway, {}))
    await asyncio.to_thread(began.wait, 10)
    serve(gateway, split({2: 100.0}))
    assert await by_http(gateway, {}) == 2
    go.set()
    assert await under_way == 1


def test_a_revision_that_a_replica_lacks_leaves_its_callers_to_the_others_and_moves_nobody_else(tmp_path: Path) -> None:
    thirds = {1: 30.0, 2: 30.0, 3: 40.0}
    state = split(thirds, "header:x-user")
    whole = serve(Gateway(tmp_path / "whole"), state).app.table.services["iris"]
    lacking = Gateway(tmp_path / "lacking")
    lacking.app.apply(GatewayState(1, (key(),), (state,)), {("iris", 1): saying(1), ("iris", 3): saying(3)})
    part = lacking.app.table.services["iris"]
    for number in range(500):
        call = heard("r", {b"x-user": b"user-%d" % number})
        there, here = whole.pick(call).revision, part.pick(call).revision
        assert there in (here, 2)
        assert call.probability == pytest.approx({1: 30 / 70, 3: 40 / 70}[here], abs=1e-5)


def test_a_lone_revision_is_no_choice(tmp_path: Path) -> None:
    call = heard("any", {b"x-user": b"ada"})
    gateway = serve(Gateway(tmp_path), split({7: 100.0}, "header:x-user"))
    assert gateway.app.table.services["iris"].pick(call).revision == 7
    assert call.probability == 1.0


async def test_sdk_headers_reach_the_choice(tmp_path: Path) -> None:
    from aimass.client.async_client import AsyncClient
    from aimass.testing.gateway import open_door

    gateway = serve(Gateway(tmp_path), split(HALVES, "header:x-user"))
    async with open_door(gateway.app) as door, AsyncClient(f"http://127.0.0.1:{door.port}", SECRET) as client:
        for user in ("ada", "bob", "cem"):
            answer = await client.predict("iris", np.array(ROWS, np.float32), headers={"x-user": user})
            assert answer.revision == expected(user)
