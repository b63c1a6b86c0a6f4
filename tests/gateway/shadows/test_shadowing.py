"""Shadows run what they are given, compare it, and are never in the way of who answers."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.core.policies import NodePolicy
from aimass.gateway.metrics import merge, render
from aimass.gateway.residency.asleep import AsleepPlan
from aimass.gateway.shadows import shadowing as timing
from aimass.gateway.shadows.lane import PLACES, place
from aimass.gateway.shadows.queue import TOGETHER_ROWS, Bound
from aimass.gateway.state import ShadowState
from aimass.serving.loader import LoadedPlan, load
from aimass.testing.gateway import StubPlan, layout, real_plan, scores
from tests.gateway.shadows.shadow_kit import SECOND, other, others_scores, some_rows, watch
from tests.waiting import until

ROWS = [[row] for row in some_rows(40)]
FLAT = [row for (row,) in ROWS]


async def test_every_row_is_compared_as_by_hand(tmp_path: Path, plan: LoadedPlan) -> None:
    watched = watch(tmp_path, plan, StubPlan(other).loaded)
    answers = await watched.call(*ROWS)
    await until(lambda: watched.counted().get("calls") == len(ROWS))
    found, labels = watched.counted(), [answer.json()["outputs"][0]["data"][0] for answer in answers]
    assert labels == scores(FLAT).argmax(axis=1).tolist(), "callers get the primary's answer"
    assert found["rows"] == found["labelled_rows"] == len(ROWS)
    assert found["agreed_rows"] == sum(labels == others_scores(FLAT).argmax(axis=1)) not in (0, len(ROWS))
    apart = np.abs(scores(FLAT) - others_scores(FLAT)).max(axis=1)
    assert watched.counts.distances[-1] == pytest.approx(float(apart.sum()), rel=1e-5)
    assert sum(watched.counts.distances[:-1]) == len(ROWS)
    assert found["cpu_calls:primary"] == found["cpu_calls:shadow"] == found["cpu_rows:shadow"] > 0
    assert "errors" not in found and (watched.bound.held_rows, watched.bound.held_bytes) == (0, 0)


async def test_a_share_of_the_calls_by_their_ids_is_mirrored_and_each_shadow_has_its_own(
    tmp_path: Path, plan: LoadedPlan
) -> None:
    watched = watch(tmp_path, plan, StubPlan(other).loaded, replace(SECOND, share=30.0), ShadowState("1", 60.0, 1))
    answers = await watched.call(*ROWS, *ROWS)
    wanted = sum(place(answer.headers["x-aimass-request-id"]) < 0.3 * PLACES for answer in answers)
    await until(lambda: watched.counted().get("calls") == wanted)
    assert 0 < wanted < len(answers)
    shot = watched.gateway.metrics.snapshot()
    assert {labels[:3] for labels in shot.shadows} == {("iris", "1", "2")}, "nothing shadows itself"


async def test_a_shadow_that_raises_fails_nobody_and_only_the_calls_that_it_cannot_do(
    tmp_path: Path, plan: LoadedPlan
) -> None:
    def picky(batch: Batch) -> Batch:
        if (batch["x"][:, 0] > 0).any():
            raise ValueError("not above 0")
        return other(batch)

    watched = watch(tmp_path, plan, StubPlan(picky).loaded)
    answers = await watched.call(*ROWS)
    assert {answer.status_code for answer in answers} == {200}
    await until(lambda: watched.counted().get("calls", 0) + watched.counted().get("errors", 0) == len(ROWS))
    assert watched.counted()["errors"] == sum(row[0] > 0 for row in FLAT)
    assert watched.shadowing.reasons() == {"iris/2": "ValueError: not above 0"}


async def test_a_slow_shadow_holds_up_nobody_and_no_more_than_its_bound(tmp_path: Path, plan: LoadedPlan) -> None:
    go_on, began = threading.Event(), threading.Event()

    def slow(batch: Batch) -> Batch:
        began.set()
        assert go_on.wait(60)
        return other(batch)

    watched = watch(tmp_path, plan, StubPlan(slow).loaded, bound=Bound(rows=20))
    await watched.call(ROWS[0])
    await until(began.is_set)
    for _ in range(3):
        answers = await watched.call(*ROWS)  # all of them answered while the shadow stands still
        assert {answer.status_code for answer in answers} == {200}
        assert watched.bound.held_rows <= 20
    await until(lambda: watched.counted() == {"dropped:full": 3 * len(ROWS) - 19})
    assert watched.bound.held_rows == 20
    go_on.set()
    await until(lambda: watched.counted().get("calls") == 20)
    assert watched.bound.held_rows == watched.bound.held_bytes == 0


async def test_what_runs_too_long_is_given_up_and_its_thread_is_not_asked_again_before_it_ends(
    tmp_path: Path, plan: LoadedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "RUN_S", 0.05)
    go_on = threading.Event()

    def stuck(batch: Batch) -> Batch:
        assert go_on.wait(60)
        return other(batch)

    watched = watch(tmp_path, plan, StubPlan(stuck).loaded)
    await watched.call(ROWS[0])
    await until(lambda: watched.counted().get("dropped:deadline") == 1)
    await watched.call(ROWS[0])
    await until(lambda: watched.counted().get("dropped:deadline") == 2)
    assert "had not ended" in watched.counts.reason
    go_on.set()
    monkeypatch.setattr(timing, "RUN_S", 10.0)

    async def comes_back() -> None:
        while "calls" not in watched.counted():
            await watched.call(ROWS[1])
            await asyncio.sleep(0.01)

    await asyncio.wait_for(comes_back(), 20)


async def test_shadows_wait_while_calls_wait_and_are_dropped_when_that_takes_too_long(
    tmp_path: Path, plan: LoadedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    def noted(batch: Batch) -> Batch:
        ran.append(len(batch["x"]))
        return other(batch)

    watched = watch(tmp_path, plan, StubPlan(noted).loaded)
    watched.busy = True
    monkeypatch.setattr(timing, "AGE_S", 0.1)
    await watched.call(*ROWS)
    await until(lambda: watched.counted().get("dropped:busy") == len(ROWS))
    assert ran == []
    watched.busy = False
    await watched.call(ROWS[0])
    await until(lambda: watched.counted().get("calls") == 1)


async def test_all_that_waits_is_dropped_when_the_event_loop_comes_late(
    tmp_path: Path, plan: LoadedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "LATE_S", -1.0)
    watched = watch(tmp_path, plan, StubPlan(other).loaded)
    await watched.call(*ROWS)
    await until(lambda: watched.counted().get("dropped:event loop late") == len(ROWS))


async def test_one_that_ends_takes_nothing_more_and_lets_go_of_what_it_has(tmp_path: Path, plan: LoadedPlan) -> None:
    watched = watch(tmp_path, plan, StubPlan(other).loaded)
    watched.busy = True
    await watched.call(*ROWS)
    await until(lambda: watched.bound.held_rows == len(ROWS))
    watched.become()
    assert watched.counted() == {"dropped:removed": len(ROWS)} and watched.bound.held_bytes == 0
    await watched.call(*ROWS)
    assert watched.counted() == {"dropped:removed": len(ROWS)}


async def test_what_is_not_loaded_is_counted_and_takes_no_memory(tmp_path: Path, plan: LoadedPlan) -> None:
    watched = watch(tmp_path, plan, None)
    await watched.call(*ROWS)
    await until(lambda: watched.counted() == {"dropped:not loaded": len(ROWS)})
    assert watched.bound.held_bytes == 0


async def test_one_that_sleeps_is_woken(tmp_path: Path, plan: LoadedPlan) -> None:
    awake = StubPlan(other).loaded

    async def wake(waiting: int, deadline_s: float | None) -> LoadedPlan:
        watched.plans["iris", 2] = awake
        return awake

    stub = StubPlan(other)
    stub.known = None  # type: ignore[attr-defined]
    watched = watch(tmp_path, plan, AsleepPlan(stub.loaded, 1, wake))
    await watched.call(ROWS[0])
    await until(lambda: watched.counted().get("calls") == 1)


async def test_a_plan_with_a_flow_runs_through_it(tmp_path: Path, plan: LoadedPlan) -> None:
    plain = layout()
    nodes = tuple(replace(node, policy=NodePolicy(deadline_ms=60_000)) for node in plain.nodes)
    folder = tmp_path / "model"
    folder.mkdir()
    real_plan(folder)  # leaves the file there
    flowing = load(replace(plain, nodes=nodes), lambda files: folder)
    assert flowing.flow is not None
    watched = watch(tmp_path, plan, flowing)
    await watched.call(*ROWS)
    await until(lambda: watched.counted().get("calls") == len(ROWS))
    assert watched.counted()["agreed_rows"] == len(ROWS), "it is the same model"
    assert watched.counted()["cpu_calls:shadow"] >= 1 and "errors" not in watched.counted()


async def test_counts_add_up_over_replicas_and_are_in_the_metrics(tmp_path: Path, plan: LoadedPlan) -> None:
    watched = watch(tmp_path, plan, StubPlan(other).loaded)
    await watched.call(*ROWS)
    await until(lambda: watched.counted().get("calls") == len(ROWS))
    shot = watched.gateway.metrics.snapshot()
    both = merge([shot, shot])
    assert both.shadows["iris", "1", "2", "rows", ""] == 2 * len(ROWS)
    assert both.without_gauges().shadows == both.shadows
    text = render(both, 2).decode()
    assert 'aimass_shadow_rows_total{revision="1",service="iris",shadow="2"} 80.0' in text
    assert 'aimass_shadow_distance_count{revision="1",service="iris",shadow="2"} 80.0' in text
    assert 'aimass_shadow_seconds_bucket{le="+Inf",of="primary",revision="1",service="iris",shadow="2"}' in text


async def test_no_more_than_a_few_calls_wait_to_be_copied(
    tmp_path: Path, plan: LoadedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "COPY_S", 3600.0)
    monkeypatch.setattr(timing, "PENDING", 5)
    watched = watch(tmp_path, plan, StubPlan(other).loaded)
    watched.busy = True
    await watched.call(*ROWS[:14])
    assert watched.bound.held_rows == 10, "four wait for a fifth"
    monkeypatch.setattr(timing, "PENDING_BYTES", 1)
    await watched.call(ROWS[14])
    assert watched.bound.held_rows == 15


async def test_large_calls_run_as_soon_as_their_rows_are_enough_for_a_batch(
    tmp_path: Path, plan: LoadedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls of 64 rows: 256 of them would not fit into the queue, 16 are a batch."""
    monkeypatch.setattr(timing, "LOOK_S", 3600.0)
    monkeypatch.setattr(timing, "LONE_S", 3600.0)
    watched, large = watch(tmp_path, plan, StubPlan(other).loaded), some_rows(64)
    await watched.call(*[large] * 15)
    await until(lambda: watched.bound.held_rows == 15 * 64)
    await watched.call(large)
    await until(lambda: watched.counted().get("calls") == 16)
    assert watched.counted()["rows"] == TOGETHER_ROWS and "dropped:full" not in watched.counted()
