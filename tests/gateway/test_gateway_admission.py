"""Keys, scopes, expiry, rates, queues and deadlines."""

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.batch import Batch
from aimass.core.clock import ManualClock
from aimass.core.errors import Limited
from aimass.gateway.admission import Key
from aimass.gateway.state import GatewayState
from aimass.serving.loader import LoadedPlan
from aimass.testing.gateway import INFER, ROWS, Gateway, StubPlan, body, connect, key, scores


def _bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture
def still(tmp_path: Path, plan: LoadedPlan) -> Gateway:
    """A gateway whose time stands still."""
    return Gateway(tmp_path, clock=ManualClock())


def _clock(gateway: Gateway) -> ManualClock:
    assert isinstance(gateway.clock, ManualClock)
    return gateway.clock


async def test_an_expired_key_is_refused_from_its_second_on(still: Gateway, plan: LoadedPlan) -> None:
    still.serve(plan, key(expires_at=_clock(still).now() + 5))
    async with connect(still.app) as client:
        assert (await client.post(INFER, json=body())).status_code == 200
        _clock(still).advance(5)
        answer = await client.post(INFER, json=body())
        assert answer.status_code == 401
        assert "expired" in answer.json()["error"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_the_scheme_is_taken_in_any_case(gateway: Gateway, plan: LoadedPlan, scheme: str) -> None:
    gateway.serve(plan, key("other", "aim_other"))
    headers = {"authorization": f"{scheme} aim_other"}
    async with connect(gateway.app) as client:
        for _ in range(2):  # looked up, then known
            assert (await client.post(INFER, json=body(), headers=headers)).status_code == 200
        gateway.serve(plan, key())
        assert (await client.post(INFER, json=body(), headers=headers)).status_code == 401


async def test_a_revoked_key_stops_with_the_state_that_leaves_it_out(gateway: Gateway, plan: LoadedPlan) -> None:
    async with connect(gateway.app) as client:
        assert (await client.post(INFER, json=body())).status_code == 200
        gateway.serve(plan, key("other", "aim_other"))
        assert (await client.post(INFER, json=body())).status_code == 401
        assert (await client.post(INFER, json=body(), headers=_bearer("aim_other"))).status_code == 200


@pytest.mark.parametrize(
    ("scopes", "path", "status"),
    [
        (("predict",), INFER, 200),
        (("admin",), INFER, 200),
        (("read", "deploy"), INFER, 403),
        ((), INFER, 403),
        (("predict",), "/v2/models/iris", 200),
        (("read",), "/v2/models/iris", 200),
        (("train",), "/v2/models/iris", 403),
    ],
)
async def test_scopes(still: Gateway, plan: LoadedPlan, scopes: tuple[str, ...], path: str, status: int) -> None:
    still.serve(plan, key(scopes=scopes))
    async with connect(still.app) as client:  # from another machine's address
        answer = await (client.post(path, json=body()) if path == INFER else client.get(path))
        assert answer.status_code == status
        if status == 403:
            assert "lacks the scope" in answer.json()["error"]


@pytest.mark.parametrize(
    ("scopes", "account", "status"),
    [(("admin",), "default", 200), (("read", "predict"), "default", 403), (("read",), "bob", 403)],
)
async def test_from_afar_metrics_are_an_operators(
    still: Gateway, plan: LoadedPlan, scopes: tuple[str, ...], account: str, status: int
) -> None:
    still.serve(plan, replace(key(scopes=scopes), account=account))
    async with connect(still.app) as client:
        answer = await client.get("/metrics")
        assert answer.status_code == status
        if status == 403:
            assert "is no operator's" in answer.json()["error"] and "aimass_" not in answer.text


async def test_metrics_are_open_on_loopback(gateway: Gateway) -> None:
    async with connect(gateway.app, "direct") as client:
        assert (await client.get("/metrics", headers={"authorization": ""})).status_code == 200


async def test_over_the_rate_is_429_until_the_bucket_has_filled(still: Gateway, plan: LoadedPlan) -> None:
    still.serve(plan, key(rate_per_s=4))
    async with connect(still.app) as client:
        assert [(await client.post(INFER, json=body())).status_code for _ in range(5)] == [200] * 4 + [429]
        answer = await client.post(INFER, json=body())
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["kind"] == "limited"
        _clock(still).advance(0.5)
        assert [(await client.post(INFER, json=body())).status_code for _ in range(3)] == [200, 200, 429]


async def test_a_new_state_does_not_refill_a_bucket(still: Gateway, plan: LoadedPlan) -> None:
    async with connect(still.app) as client:
        for _ in range(3):
            still.serve(plan, key(rate_per_s=2))
            await client.post(INFER, json=body())
        assert (await client.post(INFER, json=body())).status_code == 429


async def test_the_platforms_rate_holds_for_keys_without_one(tmp_path: Path, plan: LoadedPlan) -> None:
    gateway = Gateway(tmp_path, clock=ManualClock(), options={"key_rate_per_s": 2})
    gateway.serve(plan, key(), key("free", "aim_free", rate_per_s=100))
    async with connect(gateway.app) as client:
        assert [(await client.post(INFER, json=body())).status_code for _ in range(3)] == [200, 200, 429]
        free = [(await client.post(INFER, json=body(), headers=_bearer("aim_free"))).status_code for _ in range(9)]
        assert free == [200] * 9


async def test_until_the_first_sync_a_replica_takes_its_part_of_a_rate(still: Gateway) -> None:
    state = GatewayState(9, (key(rate_per_s=8),), (), replicas_hint=4)
    still.app.apply(state, {})
    assert [held.rate for held in still.app.keys.all()] == [2.0]


@given(
    rate=st.floats(1, 1000),
    share=st.floats(0.1, 1),
    gaps=st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
)
def test_no_window_lets_more_through_than_rate_and_burst(rate: float, share: float, gaps: list[float]) -> None:
    held = Key(key(rate_per_s=rate), None, share, 0.0)
    now, passed = 0.0, 0
    for gap in gaps:
        now += gap
        try:
            held.spend(now)
            passed += 1
        except Limited as error:
            assert error.retry_after_s > 0
    assert passed <= max(1.0, rate * share) + rate * share * now + 1e-6


def _slow(seconds: float) -> StubPlan:
    def call(batch: Batch) -> Batch:
        time.sleep(seconds)
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    return StubPlan(call)


@pytest.mark.parametrize("limit", ["header", "parameter", "service"])
async def test_a_deadline_that_passes_is_504(gateway: Gateway, limit: str) -> None:
    gateway.serve(_slow(0.3).loaded, deadline_ms=50 if limit == "service" else 60_000)
    headers = {"x-aimass-deadline-ms": "50"} if limit == "header" else {}
    more = {"parameters": {"timeout": 50_000}} if limit == "parameter" else {}
    async with connect(gateway.app, "direct") as client:
        answer = await client.post(INFER, json=body(**more), headers=headers)
        assert answer.status_code == 504
        assert answer.json()["kind"] == "timeout"
    assert gateway.events() == []


async def test_an_inline_answer_that_comes_too_late_is_504(gateway: Gateway) -> None:
    plan = _slow(0.05)
    plan.inline_rows = 10
    gateway.serve(plan.loaded, deadline_ms=10)
    async with connect(gateway.app) as client:
        answer = await client.post(INFER, json=body())
        assert (answer.status_code, answer.json()["kind"]) == (504, "timeout")


async def test_a_full_queue_is_503_and_says_when_to_come_back(gateway: Gateway) -> None:
    gate = threading.Event()

    def wait(batch: Batch) -> Batch:
        gate.wait(20)
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    gateway.serve(StubPlan(wait).loaded, max_concurrent=1, max_queue=2)
    async with connect(gateway.app, "direct") as client:
        calls = [asyncio.create_task(client.post(INFER, json=body())) for _ in range(6)]
        done: set[asyncio.Task[httpx.Response]] = set()
        while len(done) < 3:
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert gateway.metrics.in_flight == 3
        gate.set()
        answers = await asyncio.gather(*calls)
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200, 200, 200, 503, 503, 503]
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert int(refused.headers["retry-after"]) >= 1
        assert (await client.post(INFER, json=body(ROWS[:1]))).status_code == 200
    assert gateway.metrics.in_flight == 0
    assert len(gateway.events()) == 4


async def test_a_journal_that_cannot_be_written_answers_503_not_200(gateway: Gateway) -> None:
    gateway.journal.close()
    async with connect(gateway.app) as client:
        answer = await client.post(INFER, json=body())
        assert answer.status_code == 503
        assert "metered" in answer.json()["error"]
