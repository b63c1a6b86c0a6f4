"""Calls that wait for a shadow, within bounds of rows and bytes; what is copied of a call."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aimass.core.batch import Batch
from aimass.gateway.routes import Target

ROWS, SIZE_BYTES = 4096, 32 * 2**20  # that wait in one replica, of all its shadows together
TOGETHER_ROWS = 1024  # that run as one


@dataclass(eq=False, slots=True)
class Mirrored:
    """A call that was answered, and is to be run by one shadow. Its arrays are its own."""

    target: Target  # that answered it
    inputs: Batch
    outputs: Batch
    rows: int
    length: int  # of its ragged inputs before they were padded; 0: they were not
    size_bytes: int
    at: float  # monotonic
    shape: tuple[Any, ...] | None = None  # of a row, where that differs from call to call

    @property
    def kind(self) -> tuple[Any, ...]:
        """Calls of one kind can run as one batch."""
        return self.target, self.length, self.shape


class Bound:
    """What all queues of a replica may hold together."""

    def __init__(self, rows: int = ROWS, size_bytes: int = SIZE_BYTES) -> None:
        self.rows, self.size_bytes = rows, size_bytes
        self.held_rows = self.held_bytes = 0

    def has_room(self, rows: int, size_bytes: int) -> bool:
        return self.held_rows + rows <= self.rows and self.held_bytes + size_bytes <= self.size_bytes


class Queue:
    """Of one shadow, oldest first among those that can run together."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._kinds: dict[tuple[Any, ...], deque[Mirrored]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._kinds.values()))

    def put(self, call: Mirrored) -> None:
        self._kinds.setdefault(call.kind, deque()).append(call)
        self._bound.held_rows += call.rows
        self._bound.held_bytes += call.size_bytes

    def take(self) -> list[Mirrored]:
        """The oldest, with those behind it that can run together with it."""
        kind = min(self._kinds, key=lambda kind: self._kinds[kind][0].at)
        calls = self._kinds[kind]
        taken = [calls.popleft()]
        rows = taken[0].rows
        while calls and rows + calls[0].rows <= TOGETHER_ROWS:
            taken.append(calls.popleft())
            rows += taken[-1].rows
        if not calls:
            del self._kinds[kind]
        return taken

    def take_older(self, at: float) -> list[Mirrored]:
        """Those that came before."""
        taken = []
        for kind, calls in list(self._kinds.items()):
            while calls and calls[0].at < at:
                taken.append(calls.popleft())
            if not calls:
                del self._kinds[kind]
        return taken

    def let_go(self, calls: Sequence[Mirrored]) -> None:
        """They were taken, and are held no more."""
        self._bound.held_rows -= sum(call.rows for call in calls)
        self._bound.held_bytes -= sum(call.size_bytes for call in calls)


def own(batch: Batch) -> Batch:
    """The same in arrays that hold nothing else: a view would hold a body, or a run's outputs for others' rows."""
    return {name: array if array.base is None else array.copy() for name, array in batch.items()}
