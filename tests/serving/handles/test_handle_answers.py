"""Handles against a whole gateway in another thread, without Ray: answers, cuts, patience, pickles."""

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
    Invalid,
    Limited,
    Timeout,
    TooLarge,
)
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.serving.arrays import MESSAGE_BYTES, ArraysCall
from aimass.serving.batch_calls import UNDER_WAY
from aimass.serving.handle import handle
from aimass.testing.gateway import ROWS, SECRET, key, scores
from tests.serving.handles.handle_kit import Other, plan_of


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
    other.serve(plan_of(inline_rows=1000), max_batch=limit)
    other.calls.clear()
    before = len(other.gateway.events())
    values = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
    answer = other.handle().predict(values)
    np.testing.assert_allclose(answer["scores"], scores(values), rtol=1e-4, atol=1e-5)
    assert [len(call.batch["x"]) for call in other.calls] == [min(limit, rows - at) for at in range(0, rows, limit)]
    assert len(other.gateway.events()) - before == len(other.calls) == len(answer.request_ids)


def test_no_message_is_larger_than_what_travels(other: Other) -> None:
    wide = Signature((TensorSpec("x", Datatype.FP32, (-1, 1024)),), (TensorSpec("y", Datatype.FP32, (-1, 2048)),))
    other.serve(plan_of(lambda batch: {"y": np.tile(batch["x"], 2)}, signature=wide), max_batch=100_000)
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

    other.serve(plan_of(call, signature=free))
    answer = other.handle().predict([[float(n), 0, 0, 0] for n in range(7)])
    assert answer["y"].shape == (7, width)
    assert answer["y"][:, 0].tolist() == list(range(7))
    assert sum(json.loads(line)["rows"] for line in other.gateway.events()) == 7, "no row is metered twice"
    other.serve(plan_of(lambda batch: {"y": np.zeros((len(batch["x"]), 4 * width), np.float32)}, signature=free))
    with pytest.raises(TooLarge, match="can travel to a handle"):
        other.handle().predict(ROWS)


def test_texts_may_be_any_kind_of_text(other: Other) -> None:
    kinds = Signature((TensorSpec("a", Datatype.BYTES, (-1,)),), (TensorSpec("b", Datatype.BYTES, (-1,)),))
    other.serve(plan_of(lambda batch: {"b": batch["a"]}, signature=kinds))
    for words in (["grün", ""], np.array(["grün", ""]), np.array(["grün".encode(), b""], dtype=object)):
        assert other.handle().predict(words)["b"].tolist() == ["grün", ""]
    with pytest.raises(Invalid, match="strings only"):
        other.handle().predict(np.array(["a", 1], dtype=object))


def test_calls_are_metered_counted_and_logged_as_others(other: Other) -> None:
    other.handle().predict(ROWS)
    event = json.loads(other.gateway.events()[0])
    assert (event["rows"], event["bytes_in"], event["bytes_out"]) == (2, 32, 2 * 8 + 2 * 12)
    other.gateway.recorder.flush()
    lines = [line for path in other.gateway.folder.glob("logs/*.jsonl") for line in path.read_text().splitlines()]
    assert [json.loads(line)["protocol"] for line in lines] == ["handle"]
    assert other.gateway.metrics.snapshot().requests["iris", "1", "200"] == 1


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


def test_every_error_is_a_value_that_travels(other: Other) -> None:
    outcome = other.predict(ArraysCall("nope", SECRET, {"x": np.zeros((1, 4), np.float32)})).result(timeout_s=10)
    assert isinstance(outcome, AimassError)
    assert str(pickle.loads(pickle.dumps(outcome))) == str(outcome)


def test_the_number_under_way_is_bounded(other: Other) -> None:
    release = threading.Event()

    def call(batch: Batch) -> Batch:
        release.wait(20)
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    other.serve(plan_of(call), max_batch=1)
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
    other.serve(plan_of(call, inline_rows=99), key(rate_per_s=5), max_batch=1)
    answer = other.handle().predict(rows, patience_s=60)
    np.testing.assert_allclose(answer["scores"], scores(rows), rtol=1e-4, atol=1e-5)
    assert len(other.calls) > sum(ran) == len(other.gateway.events()) == 20
    assert other.gateway.metrics.snapshot().rejections["iris", "", "limited"] == len(other.calls) - 20


def test_what_takes_too_long_is_asked_for_in_halves(other: Other) -> None:
    def call(batch: Batch) -> Batch:
        threading.Event().wait(0.3 if len(batch["x"]) > 3 else 0)
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    rows = np.random.default_rng(4).normal(size=(10, 4)).astype(np.float32)
    other.serve(plan_of(call), deadline_ms=150, max_batch=10)
    with pytest.raises(Timeout):
        other.handle().predict(rows)
    answer = other.handle().predict(rows, patience_s=60)
    np.testing.assert_allclose(answer["scores"], scores(rows), rtol=1e-4, atol=1e-5)
    assert sum(json.loads(line)["rows"] for line in other.gateway.events()) == 10


def test_patience_never_outlasts_the_callers_own_deadline(other: Other) -> None:
    other.serve(plan_of(inline_rows=99), key(rate_per_s=1))
    impatient = other.handle()
    with pytest.raises((Limited, Timeout)):
        for _ in range(5):
            impatient.predict(ROWS, deadline_ms=200, patience_s=60)
