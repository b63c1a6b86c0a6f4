"""A service of two members that call a coin: one is right, one is wrong, and the weights do not know it yet."""

from typing import cast

import numpy as np
import onnx
from onnx import TensorProto, helper

from aimass.core.batch import Array

FACTORS = {"sure": 2.0, "wrong": -1.0}
SENT = np.random.default_rng(7).normal(size=(120, 2)).astype(np.float32)
TRUTH = np.where(SENT[:, 0] > SENT[:, 1], "heads", "tails")
DOCUMENT = """\
service: coin
graph:
  inputs: {x: {datatype: FP32, shape: [-1, 2]}}
  nodes:
    sure: {model: sure@1, inputs: {x: $in.x}}
    wrong: {model: wrong@1, inputs: {x: $in.x}}
    vote:
      combine: weighted
      inputs: [sure.probabilities, wrong.probabilities]
      weights: [0.4, 0.6]
      classes: [heads, tails]
  outputs:
    label: vote.label
    probabilities: vote.probabilities
    sure: sure.probabilities
    wrong: wrong.probabilities
payloads: {sample: 1}
"""


def scores(rows: Array, factor: float) -> Array:
    """What a member says, by numpy."""
    odds = np.exp(rows.astype(np.float64) * factor)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def model(factor: float) -> bytes:
    """The same as ONNX: probabilities of x [-1, 2]."""
    nodes = [
        helper.make_node("Mul", ["x", "f"], ["z"]),
        helper.make_node("Softmax", ["z"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "coin",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor("f", TensorProto.FLOAT, [], [factor])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(made)
    return cast(bytes, made.SerializeToString())
