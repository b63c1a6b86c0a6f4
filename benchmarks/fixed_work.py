"""A model whose call takes 20 ms whatever its batch: a linear layer, and beside it work that knows no rows.

The work is onnxruntime's own, in one thread and without Python's lock; nothing of it can be folded away, since it
starts from the mean of what was asked. It adds 1e-30 of itself to the answer, which no float32 above 1e-23 shows.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.by_hand import open_session
from benchmarks.workloads import FEATURES, INPUT, OUTPUT, SEED, Array

CLASSES = 10
CALL_S = 0.020
SIDE = 128  # of the matrix: 64 kB, inside a core's cache
TRIAL_STEPS = 200
_LEAST_IR, _OPSET = 10, 18


def write_slow(path: Path) -> float:
    """Writes the model, its steps counted so that a call takes ``CALL_S`` here and now; the seconds that it takes."""
    per_step = time_call(path, TRIAL_STEPS) / TRIAL_STEPS
    return time_call(path, round(CALL_S / per_step))


def time_call(path: Path, steps: int) -> float:
    """Writes the model with so many steps; the seconds of a call with one row, of several the least: what others do on
    the machine only adds."""
    path.write_bytes(_model(steps))
    session = open_session(path)
    row = {INPUT: np.ones((1, FEATURES), np.float32)}
    taken = []
    for _ in range(15):
        began = time.perf_counter()
        session.run([OUTPUT], row)
        taken.append(time.perf_counter() - began)
    return min(taken)


def _model(steps: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(SEED)
    turn = np.linalg.qr(random.normal(size=(SIDE, SIDE)))[0]  # keeps lengths, so that nothing overflows
    constants = {
        "weights": random.normal(0, 0.05, (FEATURES, CLASSES)).astype(np.float32),
        "bias": random.normal(0, 0.1, CLASSES).astype(np.float32),
        "start": random.normal(size=(SIDE, SIDE)).astype(np.float32),
        "steps": np.array(steps, np.int64),
        "go": np.array(True),
        "little": np.array(1e-30, np.float32),
    }

    def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
        return helper.make_node(kind, inputs.split(), [output], **attributes)

    graph = helper.make_graph(
        [
            node("MatMul", f"{INPUT} weights", "product"),
            node("Add", "product bias", "scores"),
            node("Softmax", "scores", "clean", axis=-1),
            node("ReduceMean", INPUT, "mean", keepdims=0),
            node("Add", "start mean", "begin"),
            node("Loop", "steps go begin", "end", body=_step(turn.astype(np.float32))),
            node("ReduceMean", "end", "made", keepdims=0),
            node("Mul", "made little", "trace"),
            node("Add", "clean trace", OUTPUT),
        ],
        "slow",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", FEATURES])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows", CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = _LEAST_IR
    content: bytes = model.SerializeToString()
    return content


def _step(turn: Array) -> Any:
    """One turn more; the matrix is the step's own, since a merged plan renames what lies outside of it."""
    from onnx import TensorProto, helper, numpy_helper

    square = [SIDE, SIDE]
    return helper.make_graph(
        [helper.make_node("MatMul", ["held", "turn"], ["turned"]), helper.make_node("Identity", ["on"], ["still"])],
        "step",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("held", TensorProto.FLOAT, square),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("turned", TensorProto.FLOAT, square),
        ],
        [numpy_helper.from_array(turn, "turn")],
    )
