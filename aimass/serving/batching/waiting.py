"""Rows that wait to leave, in the order they came, and those that can share a call beside each other."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable

from aimass.core.batch import Batch


class Entry:
    """One caller's rows. ``answer`` will be their outputs; it may be cancelled any time. Times: monotonic seconds."""

    __slots__ = (
        *("answer", "arrived_s", "batch", "deadline_s", "group", "is_waiting", "node_s", "rows"),
        *("run_s", "timer", "trip", "waited_s"),
    )

    def __init__(
        self,
        batch: Batch,
        rows: int,
        group: Hashable,
        arrived_s: float,
        deadline_s: float | None,
        answer: "asyncio.Future[Batch]",
    ) -> None:
        self.batch = batch
        self.rows = rows
        self.group = group
        self.arrived_s = arrived_s
        self.deadline_s = deadline_s
        self.answer = answer
        self.timer: asyncio.TimerHandle | None = None
        self.trip: Trip | None = None
        self.is_waiting = True
        self.waited_s = 0.0  # until the call began
        self.run_s = 0.0  # its part of the call's time, by rows
        self.node_s: dict[str, float] = {}  # the same by node, where the call told

    def deliver(self, outputs: Batch, trip: "Trip", took_s: float) -> None:
        """Its own rows' outputs of a call."""
        share = self.rows / trip.rows
        self.waited_s, self.run_s = trip.left_s - self.arrived_s, took_s * share
        self.node_s = {name: seconds * share for name, seconds in trip.node_s.items()}
        self.answer.set_result(outputs)


class Trip:
    """Rows that leave together. Whoever runs it may set ``node_s``, and ``abandon``, which is called when nobody waits
    for it any more."""

    __slots__ = ("abandon", "asked_s", "batch", "deadline_s", "entries", "left_s", "node_s", "rest", "rows")

    def __init__(self, entries: list[Entry], batch: Batch, left_s: float) -> None:
        self.entries = entries
        self.batch = batch
        self.rows = sum(entry.rows for entry in entries)
        self.left_s = left_s
        self.asked_s = left_s  # earlier where it had to wait for leave to run
        deadlines = [entry.deadline_s for entry in entries]
        self.deadline_s = None if None in deadlines else max(item for item in deadlines if item is not None)
        self.node_s: dict[str, float] = {}
        self.rest: list[list[Entry]] = []  # parts of a call that failed, to be tried by themselves
        self.abandon: Callable[[], object] = _nothing

    @property
    def is_wanted(self) -> bool:
        """Whether somebody still waits for its answer."""
        return any(not entry.answer.done() for entry in self.entries)


class _Group:
    __slots__ = ("entries", "rows")

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.rows = 0


class Waiting:
    """All that wait at one place."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, _Group] = {}
        self._count = 0
        self.rows = 0

    def __len__(self) -> int:
        return self._count

    def add(self, entry: Entry) -> None:
        group = self._groups.setdefault(entry.group, _Group())
        group.entries.append(entry)
        group.rows += entry.rows
        self._count += 1
        self.rows += entry.rows

    def discard(self, entry: Entry) -> None:
        """Take one out; nothing happens when it has left."""
        if entry.is_waiting:
            self._groups[entry.group].entries.remove(entry)
            self._left(entry)

    @property
    def oldest(self) -> Entry:
        """The one that came first of all."""
        return min((group.entries[0] for group in self._groups.values()), key=lambda entry: entry.arrived_s)

    def full(self, rows: int) -> Entry | None:
        """The first entry of a group that holds so many rows."""
        return next((group.entries[0] for group in self._groups.values() if group.rows >= rows), None)

    def take(self, first: Entry, max_rows: int, back_s: float) -> tuple[list[Entry], list[Entry]]:
        """``first``, the oldest of its group, and those of the group behind it that fit in beside it. And those that
        were passed over, though never all, because the call will be back (at ``back_s``) after their deadline."""
        entries = self._groups[first.group].entries
        taken: list[Entry] = []
        late: list[Entry] = []
        left = max_rows
        while entries and (not taken or entries[0].rows <= left):
            entry = entries.popleft()
            self._left(entry)
            if entry.answer.done():
                continue  # cancelled in this very round of the event loop
            if entry.deadline_s is not None and entry.deadline_s < back_s and (taken or entries):
                late.append(entry)
            else:
                taken.append(entry)
                left -= entry.rows
        return taken, late

    def _left(self, entry: Entry) -> None:
        entry.is_waiting = False
        group = self._groups[entry.group]
        group.rows -= entry.rows
        self._count -= 1
        self.rows -= entry.rows
        if not group.entries:
            del self._groups[entry.group]


def shapes(batch: Batch) -> Hashable:
    """What two batches must have in common to become one: the tensors' names, and their shapes but for the rows."""
    return tuple([(name, array.shape[1:]) for name, array in batch.items()])


def _nothing() -> None:
    pass
