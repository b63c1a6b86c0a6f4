"""Handles against a whole gateway in another thread, bad input, names, keys, deadlines, callers who leave."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.core.errors import (
    Conflict,
    Denied,
    Invalid,
    Limited,
    NotFound,
    Timeout,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from aimass.core.home import Home
from aimass.gateway.state import GatewayState
from aimass.serving.batch_calls import UNDER_WAY
from aimass.serving.handle import Handle, handle, join
from aimass.testing.gateway import ROWS, key, scores, service
from tests.serving.handles.handle_kit import Other, plan_of
from tests.waiting import until


async def test_inside_an_event_loop_it_must_be_awaited(other: Other) -> None:
    with pytest.raises(Conflict, match="predict_async"):
        other.handle().predict(ROWS)


BAD: dict[str, tuple[Any, str]] = {
    "unknown input": ({"y": np.zeros((1, 4), np.float32)}, "'x' is missing"),
    "one input too many": ({"x": np.zeros((1, 4), np.float32), "y": np.zeros(1)}, "unknown input 'y'"),
    "wrong shape": (np.zeros((2, 5)), r"has shape \[2, 5\]"),
    "no shape": (5.0, "has shape"),
    "no rows": (np.zeros((0, 4)), "no rows"),
    "texts": (np.array([["a"] * 4]), "expected FP32"),
    "NaN": (np.array([[np.nan, 0, 0, 0]]), "NaN"),
    "ragged": ([[1.0, 2.0], [3.0]], "cannot be read as arrays"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(other: Other, name: str) -> None:
    given_rows, expected = BAD[name]
    with pytest.raises(Invalid, match=expected):
        other.handle().predict(given_rows)
    assert not other.gateway.events()


def test_wrong_names_are_said(other: Other) -> None:
    with pytest.raises(NotFound, match="no service 'nope'; there is: iris"):
        other.handle("nope").predict(ROWS)
    with pytest.raises(NotFound, match="no revision 7"):
        other.handle(revision=7).predict(ROWS)
    with pytest.raises(Invalid, match="unknown output 'nope'"):
        other.handle().predict(ROWS, outputs=["nope"])
    for wrong in ("", 5, None):
        with pytest.raises(Invalid, match="name of a service"):
            handle(wrong)  # type: ignore[arg-type]
    for number in (0, -1, "1", True):
        with pytest.raises(Invalid, match="revision is a number"):
            handle("iris", revision=number)  # type: ignore[arg-type]


def test_keys_and_rates_are_those_of_every_door(other: Other) -> None:
    for wrong in ("", "aim_wrong"):
        with pytest.raises(Unauthenticated):
            other.handle(key=wrong).predict(ROWS)
    other.serve(plan_of(), key("key-1", "aim_reader", scopes=("read",)))
    with pytest.raises(Denied, match="predict"):
        other.handle(key="aim_reader").predict(ROWS)
    other.serve(plan_of(inline_rows=9), key(rate_per_s=2))
    limited = other.handle()
    with pytest.raises(Limited) as refused:
        for _ in range(9):
            limited.predict(ROWS)
    assert refused.value.retry_after_s > 0


def test_a_service_that_is_being_loaded_is_unavailable(other: Other) -> None:
    async def apply() -> None:
        other.gateway.app.apply(GatewayState(9, (key(),), (service("rose"),)), {})

    asyncio.run_coroutine_threadsafe(apply(), other.loop).result(10)
    with pytest.raises(Unavailable, match="being loaded"):
        other.handle("rose").predict(ROWS)


def test_a_deadline_ends_a_call(other: Other) -> None:
    release = threading.Event()

    def call(batch: Batch) -> Batch:
        release.wait(20)
        return {}

    other.serve(plan_of(call))
    try:
        with pytest.raises(Timeout, match="deadline"):
            other.handle().predict(ROWS, deadline_ms=50)
        with pytest.raises(Timeout, match="deadline"):
            other.handle().predict(ROWS, deadline_ms=-1)
    finally:
        release.set()
    assert not other.gateway.events()


async def test_a_caller_that_leaves_takes_its_calls_along(other: Other) -> None:
    release, ran = threading.Event(), []

    def call(batch: Batch) -> Batch:
        ran.append(len(batch["x"]))
        release.wait(20)
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    other.serve(plan_of(call), max_batch=1, max_concurrent=1)
    leaving = asyncio.ensure_future(other.handle().predict_async([ROWS[0]] * 5))
    slot = other.gateway.app.table.services["iris"].targets[1].slot
    await until(lambda: slot.waiting >= UNDER_WAY - 1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await until(lambda: not slot.waiting)
    release.set()
    await until(lambda: not slot.running)
    assert ran == [1]


def test_one_bad_piece_fails_the_whole_and_stops_the_rest(other: Other) -> None:
    other.serve(plan_of(inline_rows=9), max_batch=1)
    rows = np.ones((50, 4), np.float32)
    rows[3] = np.nan
    with pytest.raises(Invalid, match="NaN"):
        other.handle().predict(rows)
    assert len(other.calls) < 20


def test_a_service_that_changed_is_asked_anew(other: Other) -> None:
    known = other.handle()
    known.predict(ROWS)
    other.serve(plan_of(inline_rows=99), max_batch=1)
    with pytest.raises(TooLarge):
        known.predict(ROWS)
    assert len(known.predict(ROWS)["label"]) == 2


def test_whatever_goes_wrong_on_the_way_is_ours() -> None:
    class Lost:
        def result(self, *, timeout_s: float | None) -> Any:
            raise ConnectionError("gone")

        def cancel(self) -> None: ...

    class Link:
        describe = predict = staticmethod(lambda *_: Lost())

    with pytest.raises(Unavailable, match="replica was lost") as lost:
        Handle("iris", "", None, Link).predict(ROWS)  # type: ignore[arg-type]
    assert lost.value.retry_after_s > 0


def test_outside_a_cluster_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(Unavailable, match=r"not connected to a Ray cluster; call .*join\(\)"):
        handle("iris", "aim_x").predict(ROWS)
    with pytest.raises(Unavailable, match="aimass up"):
        join(Home(tmp_path))
