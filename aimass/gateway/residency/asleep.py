"""What stays of a plan that was let go for want of memory: what calls are read and checked by, and how to wake it."""

from collections.abc import Awaitable, Callable

from aimass.core.batch import Batch
from aimass.core.errors import Unavailable
from aimass.core.events import Trace
from aimass.serving.engine.flow import Flow
from aimass.serving.loader import LoadedPlan

Wake = Callable[[int, float | None], Awaitable[LoadedPlan]]
"""(calls that may wait, their deadline in monotonic seconds) → the plan. ``Unavailable`` says why not, or that too many
wait; ``Timeout`` when the deadline passes first, and the load goes on."""


class Asleep(Unavailable):
    """A call was begun before the plan was let go, and is to go on by waking it. Callers never see this."""


class AsleepPlan:
    """Stands where a ``LoadedPlan`` stood; no call is short for it, so that every call comes to wake it."""

    inline_rows = -1
    flow: Flow | None = None

    def __init__(self, plan: LoadedPlan, size_bytes: int, wake: Wake) -> None:
        self.plan = plan.plan
        self.signature = plan.signature
        self.counts = plan.counts
        self.known = plan.known
        self.padding = plan.padding
        self.size_bytes = size_bytes  # that it held
        self.wake = wake

    def run(self, batch: Batch, trace: Trace | None = None) -> Batch:
        raise Asleep(f"the {self.plan} plan was let go for want of memory a moment ago; try again")

    def warm_us(self, rows: int) -> float:
        return self.known.cost.us(rows)


Plan = LoadedPlan | AsleepPlan
