"""When rows leave, how many may wait, and how long what waits will take. Pure arithmetic."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aimass.core.errors import Unavailable

Cost = Callable[[int], float]
"""Rows → seconds that a call with so many takes, as far as is known beforehand."""

COMPANY_PART = 0.1
"""Of a call's own time: so long those who left with the last call, and are on their way back, are waited for."""

TIMER_S = 0.001  # an event loop's timers are no finer; a shorter wait would become this long
ENOUGH = 10
"""Rows of a call whose fixed cost is a tenth of the rest: more of them save nothing worth waiting for."""

RECENT = 9
"""Calls whose median says how calls compare with their predicted cost: one that waited for a replica to start, or hit
a pause, must not have others refused."""

SPARE = 1.2  # a call is refused when this many times what it is predicted to take would not fit before its deadline


@dataclass
class Rules:
    """Of one place where rows wait. May be changed at any time; ``kick`` the batcher afterwards."""

    max_rows: int = 1024  # in one call; a request with more travels alone
    max_wait_s: float = 0.002  # after that the oldest leaves although a call is out, where ``width`` allows it
    lanes: int = 1  # while fewer calls than that are out, nobody waits
    width: int = 1  # calls out at a time
    max_queue: int = 512  # requests that may wait
    patience: float = 0.0  # of a call's predicted time: waited at least, where the call that is out is on its way back

    def become(self, other: "Rules") -> None:
        """The same as ``other``."""
        vars(self).update(vars(other))


class Pace:
    """How long calls take now: the predicted cost, and the median of real against predicted times of late."""

    def __init__(self, cost: Cost | None) -> None:
        self._cost: Cost = cost or _unknown
        self._ratios: deque[float] = deque([1.0] if cost else [0.0], maxlen=RECENT)
        self._factor = self._ratios[0]
        self.enough_rows = _enough(cost)
        """Beyond this a call gains less than a tenth by more rows: batching them would make everybody wait for all."""

    def learn(self, rows: int, seconds: float) -> None:
        """A call with so many rows took so long."""
        self._ratios.append(seconds / max(self._cost(rows), 1e-9))
        self._factor = sorted(self._ratios)[len(self._ratios) // 2]

    def predict_s(self, rows: int) -> float:
        """Seconds that a call with so many rows will take."""
        return self._cost(rows) * self._factor


def check_queue(what: str, waiting: int, limit: int, wait_s: float) -> None:
    """``Unavailable`` when the queue is full."""
    if waiting >= limit:
        raise Unavailable(
            f"{what} has {waiting} calls waiting, its limit; try again later", retry_after_s=_retry_after(wait_s)
        )


def check_deadline(what: str, left_s: float | None, wait_s: float, run_s: float) -> None:
    """``Unavailable`` when a call that must wait so long, and then run so long, will not be in time.

    Refused at once it costs next to nothing; queued, it would take the place of one that could still be answered
    (the predicted wait as the measure of a queue, not its length: Nichols and Jacobson, CoDel, 2012).
    """
    if left_s is not None and (wait_s + run_s) * SPARE > left_s:
        raise Unavailable(
            f"{what} is busy: an answer would take some {(wait_s + run_s) * 1e3:.0f} ms, and this call has "
            f"{left_s * 1e3:.0f} left; try again later",
            retry_after_s=_retry_after(wait_s),
        )


def _unknown(rows: int) -> float:
    return 1.0


def _enough(cost: Cost | None) -> int:
    if cost is None:
        return 1 << 30
    row = (cost(9) - cost(1)) / 8
    fixed = cost(1) - row
    if row <= 0:
        return 1 << 30
    return max(1, math.ceil(min(ENOUGH * fixed / row, 1 << 30)))


def _retry_after(wait_s: float) -> float:
    return max(1.0, wait_s)
