"""Shares: weights brought to a sum of one, and rows brought to a sum of one, with the same bits in numpy and ONNX."""

import math
from typing import TYPE_CHECKING

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto


def check_weights(weights: tuple[float, ...]) -> None:
    """Finite, not negative, not all zero; else ``Invalid``."""
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not math.isfinite(sum(weights)):
        raise Invalid(f"weights {list(weights)} must be finite and not negative", field="weights")
    if sum(weights) <= 0:
        raise Invalid(f"weights {list(weights)} are all zero; one at least must count", field="weights")


def shares_of(weights: tuple[float, ...]) -> list[np.float32]:
    """Each weight's part of their sum."""
    total = math.fsum(weights)
    return [np.float32(weight / total) for weight in weights]


def row_sums(rows: Array) -> Array:
    """FP32 [rows, 1] of FP32 [rows, columns]: added in float64 from left to right, as ONNX's CumSum does; other sums
    differ in their last bits from one library to the next."""
    return np.cumsum(rows, axis=1, dtype=np.float64)[:, -1:].astype(np.float32)


def row_sums_nodes(rows: str, sums: str, prefix: str) -> tuple[list["NodeProto"], list["TensorProto"]]:
    """The same as ONNX, from tensor ``rows`` to tensor ``sums``."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", [rows], [f"{prefix}wide"], f"{prefix}widen", to=TensorProto.DOUBLE),
        helper.make_node("CumSum", [f"{prefix}wide", f"{prefix}columns"], [f"{prefix}sums"], f"{prefix}cumsum"),
        helper.make_node("Gather", [f"{prefix}sums", f"{prefix}last"], [f"{prefix}total"], f"{prefix}pick", axis=1),
        helper.make_node("Cast", [f"{prefix}total"], [sums], f"{prefix}narrow", to=TensorProto.FLOAT),
    ]
    constants = [
        numpy_helper.from_array(np.array(1, np.int64), f"{prefix}columns"),
        numpy_helper.from_array(np.array([-1], np.int64), f"{prefix}last"),
    ]
    return nodes, constants
