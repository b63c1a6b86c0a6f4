"""Services whose nodes are elsewhere, slow or failing, called through the door: what is told, and what is counted."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from aimass.core.batch import Batch
from aimass.core.clock import SystemClock
from aimass.core.policies import Breaker, NodePolicy
from aimass.gateway.protocols.http import Reply
from aimass.gateway.state import GatewayState, Limits, RevisionState, ServiceState
from aimass.graph.graph import LABEL, MEMBER, PROBABILITIES, Graph
from aimass.testing.gateway import BEARER, INFER, Gateway, StubPlan, body, connect, key, metrics_of, open_door
from tests.serving.engine.engine_graphs import cascade, combine, graph, layout_of, model, predict
from tests.serving.engine.engine_graphs import rows as made_rows
from tests.serving.engine.faulty import FINE, GONE, SHAPE, SILENT, Faulty, Made, faulty
from tests.waiting import until

INFER_S = "/v2/models/s/infer"


def _serve(folder: Path, found: Graph, remotes: dict[str, Faulty], **limits: Any) -> Gateway:
    return _serve_made(folder, found, Made(found, SystemClock(), remotes), **limits)


def _serve_made(folder: Path, found: Graph, made: Made, **limits: Any) -> Gateway:
    gateway = Gateway(folder)
    revision = RevisionState(1, "d", layout_of(found, made.remotes.__contains__).to_json())
    service = ServiceState("s", "default", Limits(**limits), {1: 100.0}, (revision,))
    gateway.app.apply(GatewayState(1, (key(),), (service,)), {("s", 1): made.plan})
    return gateway


def _content(batch: Batch) -> bytes:
    kinds = {"x": "FP32", "kind": "INT64"}
    inputs = [
        {"name": name, "datatype": kinds[name], "shape": list(array.shape), "data": array.ravel().tolist()}
        for name, array in batch.items()
    ]
    return json.dumps({"inputs": inputs}).encode()


def _outputs(answer: httpx.Response | Reply) -> dict[str, np.ndarray]:
    told = json.loads(answer.body if isinstance(answer, Reply) else answer.content)
    return {item["name"]: np.reshape(item["data"], item["shape"]) for item in told["outputs"]}


class _Metrics:
    """What the door tells of the one service."""

    def __init__(self, text: str) -> None:
        families = text_string_to_metric_families(text)
        self._samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {
            (item.name, frozenset(item.labels.items())): item.value for one in families for item in one.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self._samples.get(
            (f"aimass_{name}", frozenset({"service": "s", "revision": "1", **labels}.items())), 0.0
        )


@asynccontextmanager
async def _hanging(gateway: Gateway, way: str, request: bytes) -> AsyncIterator[asyncio.StreamWriter]:
    """A caller on a real socket who has sent his request; his connection is closed at the end."""
    async with open_door(gateway.app, way) as door:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(request)
        yield writer
        writer.close()
        await until(lambda: door.connections == 0)


def _request(path: str, content: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: g\r\nauthorization: {BEARER['authorization']}\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def _vote(quorum: int | None = 1) -> Graph:
    nodes = [model("a", "x"), model("b", "x"), combine("vote", "a", "b", quorum=quorum)]
    return graph(*nodes, outputs=(LABEL, PROBABILITIES))


@pytest.mark.parametrize("way", ["memory", "asgi", "direct"])
async def test_an_answer_that_lost_a_member_says_so_everywhere(tmp_path: Path, way: str) -> None:
    gateway = _serve(tmp_path, _vote(), faulty("a", FINE, GONE) | faulty("b"))
    batch = made_rows(3)
    members = {name: predict(name)({"0": batch["x"]})[PROBABILITIES] for name in "ab"}
    async with connect(gateway.app, way) as client:
        whole = await client.post(INFER_S, content=_content(batch))
        lacking = await client.post(INFER_S, content=_content(batch))
        told = _Metrics(await metrics_of(gateway.app))
    np.testing.assert_allclose(_outputs(whole)[PROBABILITIES], (members["a"] + members["b"]) / 2, rtol=1e-5)
    np.testing.assert_allclose(_outputs(lacking)[PROBABILITIES], members["b"], rtol=1e-5)
    assert "x-aimass-degraded" not in whole.headers
    assert lacking.headers["x-aimass-degraded"] == "a"
    assert told("degraded_total") == 1
    assert told("node_failures_total", node="a", kind="unavailable") == 1
    assert told("node_calls_total", node="b") == 2
    events = [json.loads(line) for line in gateway.events()]
    assert [event["node_us"].keys() for event in events] == [{"a", "b", "vote"}, {"b", "vote"}]
    gateway.recorder.flush()
    (log,) = (tmp_path / "logs").glob("requests-*.jsonl")
    assert [json.loads(line).get("degraded") for line in log.read_text().splitlines()] == [None, ["a"]]


async def test_calls_of_one_round_go_out_as_one(tmp_path: Path) -> None:
    remotes = faulty("a") | faulty("b")
    gateway = _serve(tmp_path, _vote(), remotes)
    batches = [made_rows(count, count) for count in (1, 4, 2)]
    done = asyncio.gather(*(_submit(gateway, _content(batch)) for batch in batches))
    for batch, reply in zip(batches, await done, strict=True):
        both = [predict(name)({"0": batch["x"]})[PROBABILITIES] for name in "ab"]
        np.testing.assert_allclose(_outputs(reply)[PROBABILITIES], (both[0] + both[1]) / 2, rtol=1e-5)
    assert [remote.tries for remote in remotes.values()] == [[(7, None)]] * 2
    events = [json.loads(line) for line in gateway.events()]
    assert [event["rows"] for event in events] == [1, 4, 2]
    assert events[1]["node_us"]["a"] == pytest.approx(4 * events[0]["node_us"]["a"], abs=4)


def _submit(gateway: Gateway, content: bytes) -> Any:
    scope = {
        "type": "http",
        "method": "POST",
        "path": INFER_S,
        "headers": [(b"authorization", BEARER["authorization"].encode())],
        "client": ("127.0.0.1", 1),
    }
    waiting = gateway.app.submit(scope, content, partial(pytest.fail))
    assert waiting is not None
    return waiting


@pytest.mark.parametrize("way", ["memory", "asgi", "direct"])
async def test_the_callers_deadline_reaches_the_nodes(tmp_path: Path, way: str) -> None:
    remotes = faulty("a", SILENT) | faulty("b")
    gateway = _serve(tmp_path, _vote(), remotes, deadline_ms=60_000)
    async with connect(gateway.app, way) as client:
        answer = await client.post(INFER_S, content=_content(made_rows(1)), headers={"x-aimass-deadline-ms": "80"})
    assert answer.status_code == 504
    assert "too few for 'a'" in answer.json()["error"]
    await until(lambda: remotes["a"].given_up == 1)
    assert remotes["a"].tries == remotes["b"].tries
    assert gateway.events() == []


@pytest.mark.parametrize("way", ["asgi", "direct"])
async def test_a_caller_who_hangs_up_stops_what_was_begun_for_him(tmp_path: Path, way: str) -> None:
    remotes = faulty("a", SILENT) | faulty("b", SILENT)
    gateway = _serve(tmp_path, _vote(), remotes)
    async with _hanging(gateway, way, _request(INFER_S, _content(made_rows(1)))) as writer:
        await until(lambda: len(remotes["a"].tries) == 1)
        writer.close()
        await until(lambda: remotes["a"].given_up + remotes["b"].given_up == 2)
    snapshot = gateway.metrics.snapshot()
    assert snapshot.requests["s", "1", "499"] == 1
    assert snapshot.in_flight["s", "1"] == 0
    assert gateway.events() == []


@pytest.mark.parametrize("way", ["asgi", "direct"])
async def test_a_caller_who_hangs_up_leaves_the_queue(gateway: Gateway, way: str) -> None:
    ran: list[float] = []
    gates = [asyncio.Event(), asyncio.Event()]
    loop = asyncio.get_running_loop()

    def call(batch: Batch) -> Batch:
        ran.append(float(batch["x"][0, 0]))
        loop.call_soon_threadsafe(gates[0].set)
        asyncio.run_coroutine_threadsafe(gates[1].wait(), loop).result(20)
        return {"label": np.zeros(len(batch["x"]), np.int64), "scores": np.zeros((len(batch["x"]), 3), np.float32)}

    gateway.serve(StubPlan(call).loaded, max_concurrent=1)
    async with connect(gateway.app, way) as client:
        first = asyncio.create_task(client.post(INFER, json=body([[1.0, 0, 0, 0]])))
        await gates[0].wait()
        async with _hanging(gateway, way, _request(INFER, json.dumps(body([[2.0, 0, 0, 0]])).encode())) as writer:
            series = gateway.metrics.series("iris", 1)
            await until(lambda: series.in_flight == 2)
            writer.close()
            await until(lambda: series.in_flight == 1)
        gates[1].set()
        assert (await first).status_code == 200
        assert (await client.post(INFER, json=body([[3.0, 0, 0, 0]]))).status_code == 200
    assert ran == [1.0, 3.0]


async def test_a_cascades_pass_rate_and_a_breakers_state_are_metrics(tmp_path: Path) -> None:
    policy = NodePolicy(fallback="small", retries=1, breaker=Breaker(2, 60.0))
    nodes = [model("small", "x"), model("big", "x", policy=policy), cascade("gate", "small", "big", thresholds=(0.7,))]
    gateway = _serve(tmp_path, graph(*nodes, outputs=(LABEL, MEMBER)), faulty("big", GONE))
    batch = made_rows(40)
    unsure = int((predict("small")({"0": batch["x"]})[PROBABILITIES].max(axis=1) < 0.7).sum())
    async with connect(gateway.app) as client:
        answer = await client.post(INFER_S, content=_content(batch))
        told = _Metrics(await metrics_of(gateway.app))
    assert (answer.status_code, answer.headers["x-aimass-degraded"]) == (200, "big")
    assert told("node_rows_total", node="gate", port="0") == 40 - unsure
    assert told("node_rows_total", node="gate", port="1") == unsure
    assert told("node_retries_total", node="big") == 1
    assert told("node_fallbacks_total", node="big") == 1
    assert told("breaker_state", node="big") == 2


async def test_a_cascade_in_one_process_counts_its_rows_too(tmp_path: Path) -> None:
    nodes = [model("small", "x"), model("big", "x"), cascade("gate", "small", "big", thresholds=(0.7,))]
    gateway = _serve(tmp_path, graph(*nodes), {})
    batch = made_rows(40)
    unsure = int((predict("small")({"0": batch["x"]})[PROBABILITIES].max(axis=1) < 0.7).sum())
    async with connect(gateway.app) as client:
        for _ in range(2):
            assert (await client.post(INFER_S, content=_content(batch))).status_code == 200
        told = _Metrics(await metrics_of(gateway.app))
    assert told("node_rows_total", node="gate", port="0") == 2 * (40 - unsure)
    assert told("node_rows_total", node="gate", port="1") == 2 * unsure
    assert told("degraded_total") == 0


async def test_a_wrong_shape_is_the_nodes_fault_and_named(tmp_path: Path) -> None:
    gateway = _serve(tmp_path, _vote(quorum=None), faulty("a", SHAPE) | faulty("b"))
    async with connect(gateway.app) as client:
        answer = await client.post(INFER_S, content=_content(made_rows(2)))
    assert answer.status_code == 500
    assert "node 'a' answered 'probabilities' as float32 [2, 2]; expected FP32 [2, 3]" in answer.json()["error"]


@pytest.mark.parametrize("way", ["memory", "asgi", "direct"])
async def test_a_policy_in_one_process_costs_nothing_until_it_is_needed(tmp_path: Path, way: str) -> None:
    made = Made(_vote(), SystemClock(), {})
    gateway = _serve_made(tmp_path, _vote(), made)
    assert made.plan.inline_rows > 4

    def fails(_: Batch) -> Batch:
        raise ZeroDivisionError

    batch = made_rows(2)
    members = {name: predict(name)({"0": batch["x"]})[PROBABILITIES] for name in "ab"}
    async with connect(gateway.app, way) as client:
        whole = await client.post(INFER_S, content=_content(batch))
        counted = dict(made.plan.counts.totals())
        made.calls["a"] = fails
        lacking = await client.post(INFER_S, content=_content(batch))
        made.calls["b"] = fails
        lost = await client.post(INFER_S, content=_content(batch))
    assert counted == {}
    np.testing.assert_allclose(_outputs(whole)[PROBABILITIES], (members["a"] + members["b"]) / 2, rtol=1e-5)
    np.testing.assert_allclose(_outputs(lacking)[PROBABILITIES], members["b"], rtol=1e-5)
    assert [answer.headers.get("x-aimass-degraded") for answer in (whole, lacking)] == [None, "a"]
    assert lost.status_code == 500
    assert len(gateway.events()) == 2
