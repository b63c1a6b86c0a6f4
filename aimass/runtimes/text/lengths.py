"""Rows of different lengths in as few calls as pay: those of about one length together, the shorter ones padded."""

from collections.abc import Callable, Sequence

import numpy as np

from aimass.core.batch import Array, Batch
from aimass.runtimes.text.files import IDS, MASK

Run = Callable[[Batch], Array]

CALL_TOKENS = 4096  # of one call, padding included: 6 MB of 384 floats each, about what a core's caches hold
SHORTEST = 0.75  # of a call's longest row: so at most a quarter of what is computed is padding
CLOSE = 8  # tokens that padding may add however short a row is; a call of its own costs more


def group_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of rows that go into one call, each row in one group."""
    groups: list[list[int]] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        length = lengths[row]
        near = length >= SHORTEST * longest or longest - length <= CLOSE
        if not groups or not near or (len(groups[-1]) + 1) * longest > CALL_TOKENS:
            groups.append([])
            longest = length
        groups[-1].append(row)
    return groups


def run_by_length(run: Run, rows: Sequence[Sequence[int]], size: int, together: bool) -> Array:
    """The vectors, FP32 [rows, size], of rows of token ids; each in a call of its own unless ``together``."""
    lengths = [len(row) for row in rows]
    answers = np.empty((len(rows), size), np.float32)
    for group in group_by_length(lengths) if together else [[row] for row in range(len(rows))]:
        answers[group] = run(pad([rows[row] for row in group]))
    return answers


def pad(rows: Sequence[Sequence[int]]) -> Batch:
    """The rows below each other at the length of the longest, and the mask that leaves the padding out."""
    length = max(1, *(len(row) for row in rows)) if len(rows) > 1 else max(1, len(rows[0]))
    ids = np.zeros((len(rows), length), np.int64)
    mask = np.zeros((len(rows), length), np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return {IDS: ids, MASK: mask}
