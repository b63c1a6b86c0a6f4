"""A plan that nobody holds is gone at once: replicas look for garbage seldom, never through what they began with."""

import gc
import weakref
from pathlib import Path

from aimass.serving.nodes.environment import THRESHOLDS, spare_collections
from aimass.testing.gateway import INFER, Gateway, body, connect, real_plan


async def test_a_plan_leaves_without_a_look_for_garbage_whatever_its_calls_met(tmp_path: Path) -> None:
    gateway, plan = Gateway(tmp_path), real_plan(tmp_path)
    held = weakref.ref(plan)
    gateway.serve(plan)
    gc.disable()
    try:
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
    finally:
        gc.enable()


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
