"""What a call costs here, measured when it was loaded, and from it whether it may run on the event loop."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from aimass.core.batch import Batch
from aimass.core.signature import Datatype, TensorSpec
from aimass.runtimes.samples import random_rows

INLINE_US = 1000.0
"""Calls predicted to take less run on the event loop; a thread hop costs 50 to 100 µs and a second core's time."""

ENOUGH_S = 0.1  # of measuring per batch size
LONG_TEXT = "word " * 20_000  # a row of strings may be as long as its caller likes


@dataclass(frozen=True)
class Cost:
    """µs of a call, and of each of its rows."""

    fixed_us: float
    row_us: float
    is_open: bool = False  # a free dimension leaves it open, or a string of any length

    def us(self, rows: int) -> float:
        """Predicted time of a call with so many rows."""
        return self.fixed_us + self.row_us * rows

    @property
    def inline_rows(self) -> int:
        """The most rows that may run on the event loop."""
        if self.is_open or self.us(1) >= INLINE_US:
            return 0
        return int((INLINE_US - self.fixed_us) / max(self.row_us, 1e-3))


def measure(run: Callable[[Batch], Batch], inputs: Sequence[TensorSpec]) -> Cost:
    """The cost of ``run`` by calls with one and eight made-up rows. What it raises passes through."""
    one, eight = (_time_us(run, inputs, rows) for rows in (1, 8))
    row_us = max(0.0, (eight - one) / 7)
    is_open = any(-1 in spec.shape[1:] for spec in inputs) or _grows_with_text(run, inputs)
    return Cost(max(0.0, one - row_us), row_us, is_open)


def _grows_with_text(run: Callable[[Batch], Batch], inputs: Sequence[TensorSpec]) -> bool:
    """Whether a row of long strings is too long for the event loop; one that is only looked up in a table is not."""
    strings = [spec.name for spec in inputs if spec.datatype is Datatype.BYTES]
    batch = random_rows(inputs, 1, np.random.default_rng(0))
    for name in strings:
        batch[name][...] = LONG_TEXT
    return bool(strings) and _time_of_us(run, batch, 1) >= INLINE_US


def _time_us(run: Callable[[Batch], Batch], inputs: Sequence[TensorSpec], rows: int, times: int = 5) -> float:
    return _time_of_us(run, random_rows(inputs, rows, np.random.default_rng(0)), times)


def _time_of_us(run: Callable[[Batch], Batch], batch: Batch, times: int) -> float:
    run(batch)  # the first call also allocates
    taken: list[float] = []
    while len(taken) < times and sum(taken) < ENOUGH_S:
        before = perf_counter()
        run(batch)
        taken.append(perf_counter() - before)
    return statistics.median(taken) * 1e6
