"""The call whose work knows no rows: its answers are those of the layer in it, and its time is its steps'."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.bench_batching import compare
from benchmarks.fixed_work import time_call
from benchmarks.peers.by_hand import open_session
from benchmarks.workloads import FEATURES, INPUT, OUTPUT

UNSEEN = np.random.default_rng(3).integers(0, 17, (40, FEATURES)).astype(np.float32)


def test_answers_are_those_of_the_layer(tmp_path: Path) -> None:
    time_call(tmp_path / "slow.onnx", steps=5)
    model = onnx.load(tmp_path / "slow.onnx")
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    scores = np.exp(UNSEEN.astype(np.float64) @ constants["weights"] + constants["bias"])
    (found,) = open_session(tmp_path / "slow.onnx").run([OUTPUT], {INPUT: UNSEEN})
    np.testing.assert_allclose(found, scores / scores.sum(axis=1, keepdims=True), rtol=0, atol=1e-6)


def test_no_answer_depends_on_who_is_beside_it(tmp_path: Path) -> None:
    time_call(tmp_path / "slow.onnx", steps=5)
    session = open_session(tmp_path / "slow.onnx")
    (together,) = session.run([OUTPUT], {INPUT: UNSEEN})
    alone = [session.run([OUTPUT], {INPUT: row[None]})[0][0] for row in UNSEEN]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def test_the_work_is_done_and_starts_from_what_was_asked(tmp_path: Path) -> None:
    time_call(tmp_path / "slow.onnx", steps=5)
    model = onnx.load(tmp_path / "slow.onnx")
    constants = {each.name: numpy_helper.to_array(each).astype(np.float64) for each in model.graph.initializer}
    assert constants["steps"] == 5
    (loop,) = [node for node in model.graph.node if node.op_type == "Loop"]
    turn = numpy_helper.to_array(loop.attribute[0].g.initializer[0]).astype(np.float64)
    model.graph.output.append(onnx.helper.make_tensor_value_info("end", onnx.TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / "told.onnx")
    session = open_session(tmp_path / "told.onnx")
    for rows in (UNSEEN[:1], UNSEEN):
        expected = constants["start"] + rows.mean()
        for _ in range(5):
            expected = expected @ turn
        np.testing.assert_allclose(session.run(["end"], {INPUT: rows})[0], expected, rtol=0, atol=1e-3)


def test_a_difference_is_the_median_of_pairs_within_its_bounds() -> None:
    """By hand: differences 1…100; 100 / 2 ± 1.96 √100 / 2 are the 41st and the 61st."""
    found = compare([100.0 + number for number in range(1, 101)], [100.0] * 100)
    assert (found.pairs, found.middle_us, found.low_us, found.high_us) == (100, 50.5, 41.0, 61.0)
    assert not found.is_within
    assert compare([105.0] * 30, [100.0] * 30).is_within
