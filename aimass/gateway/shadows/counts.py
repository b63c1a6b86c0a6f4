"""What a replica counts of one shadow beside one primary revision. Plain numbers, added to on the event loop."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from aimass.core.batch import Array
from aimass.serving.shadows.comparing import Compared
from aimass.serving.shadows.figures import DISTANCES, SECONDS, bucket_of, buckets_of
from aimass.serving.shadows.pairing import PRIMARY, SHADOW

EVENTS = {
    "calls": ("Calls that a shadow ran too, and that were compared.", ""),
    "errors": ("Calls that a shadow failed at.", ""),
    "dropped": ("Calls that a shadow was to run and did not, by reason.", "reason"),
    "rows": ("Rows that were compared.", ""),
    "labelled_rows": ("Rows compared that have a label.", ""),
    "agreed_rows": ("Rows whose labels agree.", ""),
    "distant_rows": ("Rows that lie a finite distance apart.", ""),
    "differences": ("Sum of the relative differences of figures.", ""),
    "different_rows": ("Rows of these.", ""),
    "cpu_seconds": ("Processor seconds of calls that ran alone on both, by who.", "of"),
    "cpu_calls": ("Calls of these, by who.", "of"),
    "cpu_rows": ("Rows of these, by who.", "of"),
}
"""What is counted: its help text, and the label that it has of its own."""


@dataclass(frozen=True)
class Lone:
    """One call that ran alone: seconds by the clock, and of a processor."""

    rows: int
    seconds: float
    cpu_s: float


@dataclass(frozen=True)
class Outcome:
    """What became of calls that a shadow was to run; ``reason`` is that of the last error."""

    calls: int = 0
    compared: tuple[Compared, ...] = ()
    lone: dict[str, Lone] = field(default_factory=dict)  # by PRIMARY, SHADOW
    errors: int = 0
    reason: str = ""


class ShadowCounts:
    """The counts; ``reason``: why a call failed last."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, str], float] = {}
        self.seconds = {who: [0.0] * (len(SECONDS) + 2) for who in (PRIMARY, SHADOW)}  # buckets, then the sum
        self.distances = [0.0] * (len(DISTANCES) + 2)
        self.reason = ""

    def drop(self, reason: str, calls: int = 1) -> None:
        """So many calls that the shadow does not run."""
        self._add("dropped", calls, reason)

    def add(self, outcome: Outcome) -> None:
        """Take in what became of some calls."""
        self._add("calls", outcome.calls)
        if outcome.errors:
            self._add("errors", outcome.errors)
            self.reason = outcome.reason
        for compared in outcome.compared:
            self._compare(compared)
        for who, lone in outcome.lone.items():
            self.seconds[who][bucket_of(SECONDS, lone.seconds)] += 1
            self.seconds[who][-1] += lone.seconds
            self._add("cpu_seconds", lone.cpu_s, who)
            self._add("cpu_calls", 1, who)
            self._add("cpu_rows", lone.rows, who)

    def events(self) -> Iterator[tuple[str, str, float]]:
        """(event, its detail, how often)."""
        for (event, detail), count in self._events.items():
            yield event, detail, count

    def _compare(self, compared: Compared) -> None:
        self._add("rows", compared.rows)
        if compared.agreed is not None:
            self._add("labelled_rows", compared.rows)
            self._add("agreed_rows", int(compared.agreed.sum()))
        if compared.relative is not None:
            finite = _finite(compared.relative)
            self._add("differences", float(finite.sum()))
            self._add("different_rows", len(finite))
        if compared.distance is not None:
            finite = _finite(compared.distance)
            added = [*buckets_of(DISTANCES, compared.distance), float(finite.sum())]
            self.distances = [before + more for before, more in zip(self.distances, added, strict=True)]
            self._add("distant_rows", len(finite))

    def _add(self, event: str, count: float, detail: str = "") -> None:
        self._events[event, detail] = self._events.get((event, detail), 0.0) + count


def _finite(values: Array) -> Array:
    found: Array = values[np.isfinite(values)]
    return found
