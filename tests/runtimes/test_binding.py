"""Bound sessions, on the CPU: the same answers as by ``run``, from buffers that are used again."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from aimass.core.batch import Array, Batch
from aimass.core.errors import Bug
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.runtimes.binding import SMALLEST, BoundRun, can_bind, room
from aimass.runtimes.onnx import MODEL_FILE, OnnxRuntime, open_session
from aimass.testing.runtimes import RuntimeConformance
from tests.runtimes.test_onnx_runtime import WEIGHTS, write_linear


class Memory:
    """Gives plain memory, and counts."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, size: int) -> Array:
        self.sizes.append(size)
        return np.full(size, 255, np.uint8)


class BoundOnnx(OnnxRuntime):
    """The session that a GPU gets, over the CPU."""

    @classmethod
    def _load(cls, folder: Path, signature: Signature, gpus: float) -> Self:
        plain = OnnxRuntime.load(folder, signature, gpus)
        return cls(BoundRun(open_session(folder / MODEL_FILE), signature, Memory()), plain.signature, plain.device)


class TestBoundOnnx(RuntimeConformance):
    kind = BoundOnnx

    def write(self, folder: Path) -> Signature:
        return write_linear(folder / MODEL_FILE)

    def expected(self, batch: Batch) -> Batch:
        scores = batch["x"] @ WEIGHTS + batch["bias"]
        return {"scores": scores, "best": scores.argmax(axis=1)}


def linear(folder: Path) -> tuple[Signature, Any]:
    signature = write_linear(folder / MODEL_FILE)
    return signature, open_session(folder / MODEL_FILE)


def rows(count: int) -> Batch:
    generator = np.random.default_rng(count)
    return {
        "x": generator.standard_normal((count, 4)).astype(np.float32),
        "bias": generator.standard_normal((count, 3)).astype(np.float32),
    }


def test_buffers_are_kept_and_grow_in_powers_of_two(tmp_path: Path) -> None:
    signature, session = linear(tmp_path)
    memory = Memory()
    run = BoundRun(session, signature, memory)
    for count in (1, 7, 256, 3, 256):  # 4 columns of 4 bytes: a page holds 256 rows
        run(["scores", "best"], rows(count))
    assert memory.sizes == [SMALLEST] * 4
    run(["scores"], rows(300))
    assert memory.sizes[4:] == [2 * SMALLEST], "the other tensors still fit"
    assert [room(size) for size in (0, 1, 4096, 4097, 10_000)] == [4096, 4096, 4096, 8192, 16384]


def test_an_answer_stays_when_the_next_call_comes(tmp_path: Path) -> None:
    signature, session = linear(tmp_path)
    run = BoundRun(session, signature, Memory())
    first = run(["scores"], rows(5))[0]
    kept = first.copy()
    run(["scores"], rows(6))
    np.testing.assert_array_equal(first, kept)


def test_outputs_come_as_they_are_asked_for(tmp_path: Path) -> None:
    signature, session = linear(tmp_path)
    run = BoundRun(session, signature, Memory())
    best, scores = run(["best", "scores"], rows(4))
    np.testing.assert_array_equal(best, scores.argmax(axis=1))


def test_rows_that_are_not_in_one_piece_are_read_as_they_are(tmp_path: Path) -> None:
    signature, session = linear(tmp_path)
    batch = rows(8)
    striped = {"x": np.asfortranarray(batch["x"]), "bias": np.repeat(batch["bias"], 2, axis=0)[::2]}
    run = BoundRun(session, signature, Memory())
    np.testing.assert_array_equal(run(["scores"], striped)[0], session.run(["scores"], batch)[0])


def test_lengths_that_only_the_run_knows(tmp_path: Path) -> None:
    """Rows and lengths change from call to call; the output's length is the input's."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["ids", "ids"], ["twice"])],
        "lengths",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [None, None])],
        [helper.make_tensor_value_info("twice", TensorProto.INT64, [None, None])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / MODEL_FILE)
    spec = TensorSpec("ids", Datatype.INT64, (-1, -1))
    signature = Signature((spec,), (TensorSpec("twice", Datatype.INT64, (-1, -1)),))
    run = BoundRun(open_session(tmp_path / MODEL_FILE), signature, Memory())
    kept = []
    for count, length in ((2, 3), (5, 700), (1, 1), (2, 3)):
        ids = np.arange(count * length).reshape(count, length)
        kept.append((ids, run(["twice"], {"ids": ids})[0]))
    for ids, twice in kept:
        np.testing.assert_array_equal(twice, 2 * ids)


def test_a_failed_call_leaves_no_buffers_to_the_next(tmp_path: Path) -> None:
    signature, session = linear(tmp_path)
    memory = Memory()
    runtime = OnnxRuntime(BoundRun(session, signature, memory), signature, "cpu")
    with pytest.raises(Bug, match="onnxruntime failed"):
        runtime.predict({"x": rows(2)["x"], "bias": rows(3)["bias"]})
    before = len(memory.sizes)
    answer = runtime.predict(rows(2))
    assert len(memory.sizes) == 2 * before
    np.testing.assert_allclose(answer["scores"], rows(2)["x"] @ WEIGHTS + rows(2)["bias"], atol=1e-5)


def test_texts_are_not_bound() -> None:
    words = TensorSpec("words", Datatype.BYTES, (-1,))
    numbers = TensorSpec("y", Datatype.FP32, (-1,))
    assert not can_bind(Signature((words,), (numbers,)))
    assert not can_bind(Signature((numbers,), (words,)))
    assert can_bind(Signature((numbers,), (numbers,)))
