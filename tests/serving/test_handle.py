"""Handles against a whole gateway in another thread, without Ray: answers, cuts, names, deadlines, errors, pickles."""

import asyncio
import concurrent.futures
import json
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimass.core.batch import Batch
from aimass.core.errors import (
    AimassError,
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
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.gateway.state import GatewayState
from aimass.serving.arrays import MESSAGE_BYTES, ArraysCall
from aimass.serving.batch_calls import UNDER_WAY
from aimass.serving.handle import Handle, handle, join
from aimass.testing.gateway import ROWS, SECRET, key, scores, service
from tests.serving.other_loop import Other, other, plan

__all__ = ["other"]  # a fixture


def test_rows_get_the_models_answer(other: Other) -> None:
    for given_rows in (ROWS, np.array(ROWS), {"x": np.array(ROWS, np.float32)}):
        answer = other.handle().predict(given_rows)
        np.testing.assert_allclose(answer["scores"], scores(ROWS), rtol=1e-6)
        assert answer["label"].tolist() == scores(ROWS).argmax(1).tolist()
    assert answer.revisions == (1,)
    assert answer.request_ids == (json.loads(other.gateway.events()[-1])["request_id"],)
    assert len(other.handle().predict(ROWS[0])["label"]) == 1
    assert list(other.handle().predict(ROWS, outputs=["scores"])) == ["scores"]


async def test_the_same_awaited(other: Other) -> None:
    digits = other.handle()
    answers = await asyncio.gather(*[digits.predict_async([[float(n), 1, 2, 3]]) for n in range(20)])
    for number, answer in enumerate(answers):
        np.testing.assert_allclose(answer["scores"], scores([[number, 1, 2, 3]]), rtol=1e-6)


async def test_inside_an_event_loop_it_must_be_awaited(other: Other) -> None:
    with pytest.raises(Conflict, match="predict_async"):
        other.handle().predict(ROWS)


def test_many_threads_share_one_handle(other: Other) -> None:
    shared = other.handle()

    def ask(number: int) -> Any:
        return shared.predict([[float(number), 1, 2, 3]] * (number % 5 + 1))["scores"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(ask, range(64))):
            np.testing.assert_allclose(found, scores([[number, 1, 2, 3]] * (number % 5 + 1)), rtol=1e-6)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(1, 200), limit=st.integers(1, 70))
def test_large_batches_are_cut_and_put_together(other: Other, rows: int, limit: int) -> None:
    other.serve(plan(inline_rows=1000), max_batch=limit)
    other.calls.clear()
    before = len(other.gateway.events())
    values = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
    answer = other.handle().predict(values)
    np.testing.assert_allclose(answer["scores"], scores(values), rtol=1e-4, atol=1e-5)
    assert [len(call.batch["x"]) for call in other.calls] == [min(limit, rows - at) for at in range(0, rows, limit)]
    assert len(other.gateway.events()) - before == len(other.calls) == len(answer.request_ids)


def test_no_message_is_larger_than_what_travels(other: Other) -> None:
    wide = Signature((TensorSpec("x", Datatype.FP32, (-1, 1024)),), (TensorSpec("y", Datatype.FP32, (-1, 2048)),))
    other.serve(plan(lambda batch: {"y": np.tile(batch["x"], 2)}, signature=wide), max_batch=100_000)
    values = np.random.default_rng(0).normal(size=(1000, 1024)).astype(np.float32)
    answer = other.handle().predict(values)
    np.testing.assert_array_equal(answer["y"], np.tile(values, 2))
    assert {len(call.batch["x"]) for call in other.calls} == {256, 1000 % 256}
    assert max(call.batch["x"].nbytes * 2 for call in other.calls) <= MESSAGE_BYTES


def test_an_answer_that_nobody_could_foresee_is_asked_for_in_halves(other: Other) -> None:
    free = Signature((TensorSpec("x", Datatype.FP32, (-1, 4)),), (TensorSpec("y", Datatype.FP32, (-1, -1)),))
    width = MESSAGE_BYTES // 4 // 3  # three rows fill a message

    def call(batch: Batch) -> Batch:
        return {"y": np.repeat(batch["x"][:, :1], width, axis=1)}

    other.serve(plan(call, signature=free))
    answer = other.handle().predict([[float(n), 0, 0, 0] for n in range(7)])
    assert answer["y"].shape == (7, width)
    assert answer["y"][:, 0].tolist() == list(range(7))
    assert sum(json.loads(line)["rows"] for line in other.gateway.events()) == 7, "no row is metered twice"
    other.serve(plan(lambda batch: {"y": np.zeros((len(batch["x"]), 4 * width), np.float32)}, signature=free))
    with pytest.raises(TooLarge, match="can travel to a handle"):
        other.handle().predict(ROWS)


def test_texts_may_be_any_kind_of_text(other: Other) -> None:
    kinds = Signature((TensorSpec("a", Datatype.BYTES, (-1,)),), (TensorSpec("b", Datatype.BYTES, (-1,)),))
    other.serve(plan(lambda batch: {"b": batch["a"]}, signature=kinds))
    for words in (["grün", ""], np.array(["grün", ""]), np.array(["grün".encode(), b""], dtype=object)):
        assert other.handle().predict(words)["b"].tolist() == ["grün", ""]
    with pytest.raises(Invalid, match="strings only"):
        other.handle().predict(np.array(["a", 1], dtype=object))


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
    other.serve(plan(), key("key-1", "aim_reader", scopes=("read",)))
    with pytest.raises(Denied, match="predict"):
        other.handle(key="aim_reader").predict(ROWS)
    other.serve(plan(inline_rows=9), key(rate_per_s=2))
    limited = other.handle()
    with pytest.raises(Limited) as refused:
        for _ in range(9):
            limited.predict(ROWS)
    assert refused.value.retry_after_s > 0


def test_calls_are_metered_counted_and_logged_as_others(other: Other) -> None:
    other.handle().predict(ROWS)
    event = json.loads(other.gateway.events()[0])
    assert (event["rows"], event["bytes_in"], event["bytes_out"]) == (2, 32, 2 * 8 + 2 * 12)
    other.gateway.recorder.flush()
    lines = [line for path in other.gateway.folder.glob("logs/*.jsonl") for line in path.read_text().splitlines()]
    assert [json.loads(line)["protocol"] for line in lines] == ["handle"]
    assert other.gateway.metrics.snapshot().requests["iris", "1", "200"] == 1


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

    other.serve(plan(call))
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

    other.serve(plan(call), max_batch=1, max_concurrent=1)
    leaving = asyncio.ensure_future(other.handle().predict_async([ROWS[0]] * 5))
    slot = other.gateway.app.table.services["iris"].targets[1].slot
    while slot.waiting < UNDER_WAY - 1:  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.005)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    while slot.waiting:  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.005)
    release.set()
    while slot.running:  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.005)
    assert ran == [1]


def test_one_bad_piece_fails_the_whole_and_stops_the_rest(other: Other) -> None:
    other.serve(plan(inline_rows=9), max_batch=1)
    rows = np.ones((50, 4), np.float32)
    rows[3] = np.nan
    with pytest.raises(Invalid, match="NaN"):
        other.handle().predict(rows)
    assert len(other.calls) < 20


def test_a_service_that_changed_is_asked_anew(other: Other) -> None:
    known = other.handle()
    known.predict(ROWS)
    other.serve(plan(inline_rows=99), max_batch=1)
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


def test_a_handle_travels_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIMASS_KEY", raising=False)
    monkeypatch.setenv("AIMASS_HOME", str(tmp_path))
    (tmp_path / "key").write_text("aim_home\n")
    for key_given, expected in ((None, "aim_home"), ("aim_mine", "aim_mine")):
        copy = pickle.loads(pickle.dumps(handle("iris", key_given, revision=2)))
        assert (copy.service, copy.revision, copy._key) == ("iris", 2, expected)
        assert "aim_" not in repr(copy)
    monkeypatch.setenv("AIMASS_KEY", "aim_environment")
    assert handle("iris")._key == "aim_environment"


def test_an_answer_can_be_pickled(other: Other) -> None:
    answer = other.handle().predict(ROWS)
    copy = pickle.loads(pickle.dumps(answer))
    assert copy.request_ids == answer.request_ids
    np.testing.assert_array_equal(copy["scores"], answer["scores"])


def test_outside_a_cluster_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(Unavailable, match=r"not connected to a Ray cluster; call .*join\(\)"):
        handle("iris", "aim_x").predict(ROWS)
    with pytest.raises(Unavailable, match="aimass up"):
        join(Home(tmp_path))


def test_every_error_is_a_value_that_travels(other: Other) -> None:
    outcome = other.predict(ArraysCall("nope", SECRET, {"x": np.zeros((1, 4), np.float32)})).result(timeout_s=10)
    assert isinstance(outcome, AimassError)
    assert str(pickle.loads(pickle.dumps(outcome))) == str(outcome)
