"""Calls that arrive together run together, and nobody can tell from the answers."""

import asyncio
import json
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from aimass.core.batch import Batch
from aimass.database.engine import open_database
from aimass.database.migrate import migrate
from aimass.database.tables import UsageEventRow
from aimass.gateway import infer
from aimass.gateway.protocols.http import Reply
from aimass.gateway.protocols.oip_http import OipOverHttp
from aimass.gateway.state import GatewayState
from aimass.metering.drain import drain_once
from aimass.serving.loader import LoadedPlan
from aimass.testing.gateway import (
    BEARER,
    INFER,
    Gateway,
    StubPlan,
    body,
    full_after,
    key,
    open_door,
    scores,
    service,
)

POISON = 666.0
HEADERS = [(b"authorization", BEARER["authorization"].encode())]


def _scope(path: str = INFER) -> dict[str, Any]:
    return {"type": "http", "method": "POST", "path": path, "headers": HEADERS, "client": ("127.0.0.1", 1)}


async def _round(gateway: Gateway, *requests: Any, path: str = INFER) -> list[Reply]:
    """All requests in one round of the event loop."""
    replies: dict[int, Reply] = {}
    for index, request in enumerate(requests):
        content = request if isinstance(request, bytes) else json.dumps(body(request)).encode()
        waiting = gateway.app.submit(_scope(path), content, partial(replies.__setitem__, index))
        assert waiting is None
    await asyncio.sleep(0)
    return [replies[index] for index in range(len(requests))]


def _counting(calls: list[int]) -> StubPlan:
    """The model in numpy, which notes how many rows each run had, and fails on a poisoned row."""

    def call(batch: Batch) -> Batch:
        calls.append(len(batch["x"]))
        if (batch["x"] == POISON).any():
            raise RuntimeError("poisoned")
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    return StubPlan(call, inline_rows=40, plan="merged")


async def test_rows_of_one_round_are_one_run_and_one_write(gateway: Gateway) -> None:
    calls: list[int] = []
    gateway.serve(_counting(calls).loaded)
    requests = [[[float(index), 1.0, 2.0, 3.0]] * (index % 3 + 1) for index in range(9)]
    replies = await _round(gateway, *requests)
    assert calls == [18]
    for request, reply in zip(requests, replies, strict=True):
        assert reply.head.status == 200
        found = json.loads(reply.body)["outputs"][1]
        np.testing.assert_allclose(np.reshape(found["data"], found["shape"]), scores(request), rtol=1e-6)
    events = [json.loads(line) for line in gateway.events()]
    assert [event["request_id"] for event in events] == [reply.request_id for reply in replies]
    assert [event["rows"] for event in events] == [len(request) for request in requests]
    assert [event["seq"] for event in events] == list(range(1, 10))


async def test_of_a_door_that_hands_out_few_calls_a_turn_those_of_some_turns_go_together(gateway: Gateway) -> None:
    calls: list[int] = []
    gateway.serve(_counting(calls).loaded)
    replies: list[Reply] = []
    patient = OipOverHttp()
    patient.turns = 2

    async def ask(count: int) -> None:
        for _ in range(count):
            gateway.app.submit(_scope(), json.dumps(body()).encode(), replies.append, patient)
        await asyncio.sleep(0)

    await ask(1)
    assert len(replies) == 1  # a lone one waits for nobody
    await ask(2)
    assert len(replies) == 3  # the last round was of one
    await ask(1)
    await ask(2)
    await ask(1)
    assert (len(replies), calls) == (7, [2, 4, 8])  # rows: two a call
    assert all(reply.head.status == 200 for reply in replies)


async def test_a_run_is_never_longer_than_the_loop_may_be_held(gateway: Gateway) -> None:
    calls: list[int] = []
    gateway.serve(_counting(calls).loaded)
    await _round(gateway, *[[[1.0, 2.0, 3.0, 4.0]] * 15] * 5, [[1.0, 2.0, 3.0, 4.0]] * 40)
    assert calls == [30, 30, 15, 40]


async def test_one_callers_fault_is_not_anothers(gateway: Gateway) -> None:
    gateway.serve(_counting([]).loaded)
    good = [[1.0, 2.0, 3.0, 4.0]]
    replies = await _round(gateway, good, [[POISON] * 4], b"{", good)
    assert [reply.head.status for reply in replies] == [200, 500, 400, 200]
    assert len(gateway.events()) == 2
    assert gateway.metrics.snapshot().requests["iris", "1", "200"] == 2


async def test_revisions_and_services_stay_apart(gateway: Gateway) -> None:
    calls: dict[str, list[int]] = {"iris": [], "rose": []}
    state = GatewayState(9, (key(),), (service(), service("rose")))
    gateway.app.apply(state, {(name, 1): _counting(calls[name]).loaded for name in calls})
    replies: list[Reply] = []
    for name in ("iris", "rose", "iris"):
        content = json.dumps(body([[1.0, 2.0, 3.0, 4.0]])).encode()
        gateway.app.submit(_scope(f"/v2/models/{name}/infer"), content, replies.append)
    await asyncio.sleep(0)
    assert calls == {"iris": [2], "rose": [1]}
    assert [json.loads(reply.body)["model_name"] for reply in replies] == ["iris", "rose", "iris"]


async def test_a_journal_that_fails_answers_nobody_of_the_round(gateway: Gateway) -> None:
    gateway.serve(_counting([]).loaded)
    gateway.journal.close()
    replies = await _round(gateway, *[[[1.0, 2.0, 3.0, 4.0]]] * 3)
    assert [reply.head.status for reply in replies] == [503] * 3


async def test_of_a_round_that_fills_the_disk_the_answered_calls_are_the_metered_ones(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.serve(_counting([]).loaded)
    row = [[1.0, 2.0, 3.0, 4.0]]
    replies = await _round(gateway, row)
    line = len(gateway.events()[0]) + 1
    counts = set()
    for bytes_left in range(0, 3 * line, 5):
        with full_after(gateway.journal_bytes() + bytes_left):
            torn = await _round(gateway, row, row, row)
        counts.add(statuses := tuple(reply.head.status for reply in torn))
        assert statuses == tuple(sorted(statuses))
        replies += torn + await _round(gateway, row)
    assert counts == {(503, 503, 503), (200, 503, 503), (200, 200, 503)}
    gateway.journal.close()
    with closing(open_database(f"sqlite:///{tmp_path / 'aimass.db'}")) as database:
        migrate(database)
        drain_once(database, tmp_path / "journal")
        with database.reading() as session:
            metered = session.scalars(select(UsageEventRow.request_id)).all()
    assert sorted(metered) == sorted(reply.request_id for reply in replies if reply.head.status == 200)


@given(st.lists(st.integers(1, 70), min_size=1, max_size=30), st.integers(1, 64))
def test_pieces_keep_the_order_and_the_bound(sizes: list[int], rows: int) -> None:
    class Sized:
        def __init__(self, count: int) -> None:
            self.rows = count
            self.request = self

    jobs: list[Any] = [Sized(count) for count in sizes]
    pieces = infer._cut(jobs, rows)
    assert [job for piece in pieces for job in piece] == jobs
    assert all(len(piece) == 1 or sum(job.request.rows for job in piece) <= rows for piece in pieces)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
async def test_many_callers_each_get_their_own_rows(gateway: Gateway, plan: LoadedPlan, seed: int) -> None:
    gateway.serve(plan)
    random = np.random.default_rng(seed)
    async with open_door(gateway.app) as door:
        address = f"http://127.0.0.1:{door.port}"

        async def call_on() -> None:
            async with httpx.AsyncClient(base_url=address, headers=BEARER) as client:
                for _ in range(10):
                    rows = random.normal(size=(int(random.integers(1, 9)), 4)).astype(np.float32)
                    answer = await client.post(INFER, json=body(rows.tolist()))
                    found = answer.json()["outputs"][1]
                    np.testing.assert_allclose(
                        np.reshape(found["data"], found["shape"]), scores(rows), rtol=1e-4, atol=1e-5
                    )

        await asyncio.gather(*[call_on() for _ in range(12)])
