"""A batch job through a handle: few calls under way, patience with a busy service, halves of what takes too long."""

import json
import threading

import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.core.errors import (
    Limited,
    Timeout,
)
from aimass.serving.batch_calls import UNDER_WAY
from aimass.testing.gateway import ROWS, key, scores
from tests.serving.other_loop import Other, other, plan

__all__ = ["other"]  # a fixture


def test_the_number_under_way_is_bounded(other: Other) -> None:
    release = threading.Event()

    def call(batch: Batch) -> Batch:
        release.wait(20)
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    other.serve(plan(call), max_batch=1)
    asking = threading.Thread(target=other.handle().predict, args=([ROWS[0]] * 30,))
    asking.start()
    slot = other.gateway.app.table.services["iris"].targets[1].slot
    while slot.waiting + slot.running < 2:
        release.wait(0.005)
    assert len(other.calls) <= UNDER_WAY
    release.set()
    asking.join()
    assert len(other.calls) == 30


def test_patience_outlasts_a_service_that_is_too_busy(other: Other) -> None:
    ran: list[int] = []

    def call(batch: Batch) -> Batch:
        ran.append(len(batch["x"]))
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    rows = np.random.default_rng(3).normal(size=(20, 4)).astype(np.float32)
    other.serve(plan(call, inline_rows=99), key(rate_per_s=5), max_batch=1)
    answer = other.handle().predict(rows, patience_s=60)
    np.testing.assert_allclose(answer["scores"], scores(rows), rtol=1e-4, atol=1e-5)
    assert len(other.calls) > sum(ran) == len(other.gateway.events()) == 20
    assert other.gateway.metrics.snapshot().rejections["iris", "", "limited"] == len(other.calls) - 20


def test_what_takes_too_long_is_asked_for_in_halves(other: Other) -> None:
    def call(batch: Batch) -> Batch:
        threading.Event().wait(0.3 if len(batch["x"]) > 3 else 0)
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    rows = np.random.default_rng(4).normal(size=(10, 4)).astype(np.float32)
    other.serve(plan(call), deadline_ms=150, max_batch=10)
    with pytest.raises(Timeout):
        other.handle().predict(rows)
    answer = other.handle().predict(rows, patience_s=60)
    np.testing.assert_allclose(answer["scores"], scores(rows), rtol=1e-4, atol=1e-5)
    assert sum(json.loads(line)["rows"] for line in other.gateway.events()) == 10


def test_patience_never_outlasts_the_callers_own_deadline(other: Other) -> None:
    other.serve(plan(inline_rows=99), key(rate_per_s=1))
    impatient = other.handle()
    with pytest.raises((Limited, Timeout)):
        for _ in range(5):
            impatient.predict(ROWS, deadline_ms=200, patience_s=60)
