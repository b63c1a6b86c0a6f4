"""Calls and plans that nobody holds are gone at once: replicas look for garbage seldom."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.core.clock import SystemClock
from aimass.gateway.protocols import arrays
from aimass.gateway.state import GatewayState, RevisionState, ServiceState
from aimass.serving.arrays import ArraysAnswer, ArraysCall
from aimass.serving.nodes.environment import THRESHOLDS, spare_collections
from aimass.testing.gateway import INFER, SECRET, Gateway, StubPlan, body, connect, key, real_plan, scores, service
from tests.serving.engine.engine_graphs import combine, graph, layout_of, model
from tests.serving.engine.faulty import Made, faulty


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_a_plan_leaves_without_a_look_for_garbage_whatever_its_calls_met(tmp_path: Path) -> None:
    gateway, plan = Gateway(tmp_path), real_plan(tmp_path)
    held = weakref.ref(plan)
    gateway.serve(plan)
    async with connect(gateway.app) as client:
        answers = [
            await client.post(INFER, json=body()),
            await client.post(INFER, json=body([["no number", 1, 2, 3]])),
            await client.post(INFER, json=body(), headers={"x-aimass-deadline-ms": "0"}),
        ]
    assert [answer.status_code for answer in answers] == [200, 400, 504]
    gateway.serve(real_plan(tmp_path))
    del plan
    assert held() is None


@pytest.mark.usefixtures("no_collector")
async def test_a_call_that_ran_in_a_thread_leaves_without_a_look_for_garbage(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    plan = StubPlan(lambda batch: {"label": batch["x"].argmax(1).astype(np.int64), "scores": scores(batch["x"])})
    gateway.serve(plan.loaded)
    assert await _left(gateway, ArraysCall("iris", SECRET, {"x": np.ones((2, 4), np.float32)}))


@pytest.mark.usefixtures("no_collector")
async def test_a_call_that_went_through_a_flow_leaves_without_a_look_for_garbage(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    found = graph(model("quick", "x"), model("other", "x"), combine("vote", "quick", "other"))
    nodes = faulty("quick", ("fine", 0.0)) | faulty("other", ("fine", 0.0))
    revision = RevisionState(1, "d", layout_of(found, nodes.__contains__).to_json())
    state = ServiceState("flow", "default", service().limits, {1: 100.0}, (revision,))
    gateway.app.apply(GatewayState(1, (key(),), (state,)), {("flow", 1): Made(found, SystemClock(), nodes).plan})
    rows: Batch = {"x": np.ones((2, 3), np.float32), "kind": np.zeros(2, np.int64)}
    assert await _left(gateway, ArraysCall("flow", SECRET, rows))


async def _left(gateway: Gateway, call: ArraysCall) -> bool:
    """Whether the inputs of the call are gone once it was answered."""
    held = weakref.ref(call.batch["x"])
    answer = await arrays.predict(gateway.app, call)
    assert isinstance(answer, ArraysAnswer), answer
    call.batch.clear()
    for _ in range(5):  # callbacks of what has ended
        await asyncio.sleep(0)
    return held() is None


def test_what_is_there_is_frozen_and_new_cycles_are_still_found() -> None:
    before = gc.get_threshold()
    try:
        spare_collections()
        assert gc.get_freeze_count() > 10_000 and gc.get_threshold() == THRESHOLDS

        class Cycle:
            def __init__(self) -> None:
                self.own = self

        held = weakref.ref(Cycle())
        waste = [Cycle() for _ in range(THRESHOLDS[0] * 2)]
        del waste
        assert held() is None
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
