"""A batch: named numpy arrays whose first dimension counts the same rows. A plain dict, for the hot path's sake."""

from sys import getsizeof
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Batch = dict[str, Array]


def row_count(batch: Batch) -> int:
    """Rows in the batch: the first dimension of any of its arrays; 0 for an empty batch."""
    for array in batch.values():
        return int(array.shape[0])
    return 0


def size_of(batch: Batch) -> int:
    """Bytes that it holds in memory, its texts one by one."""
    return sum(_size(array) for array in batch.values())


def concat(batches: list[Batch]) -> Batch:
    """Rows of all batches below each other; every batch has the same names and trailing shapes."""
    if len(batches) == 1:
        return batches[0]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def take(batch: Batch, start: int, stop: int) -> Batch:
    """The rows from ``start`` up to ``stop``, as views."""
    return {name: array[start:stop] for name, array in batch.items()}


def _size(array: Array) -> int:
    if array.dtype.kind != "O":
        return array.nbytes
    return array.nbytes + sum(map(getsizeof, array.ravel().tolist()))
