"""Where a flow's node runs: here, on the event loop or in a thread, or in a deployment of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Protocol

from aimass.core.batch import Batch
from aimass.core.errors import Bug
from aimass.core.events import Trace
from aimass.core.signature import NUMPY, TensorSpec
from aimass.serving.engine.costs import Cost
from aimass.serving.engine.frames import Predict
from aimass.serving.executor import Runnable
from aimass.serving.remote import Remote

Threads = Callable[[Runnable, Batch, int, float | None, Trace], Awaitable[Batch]]
"""``Executor.submit`` for one service's slot."""

Note = Callable[[str, str], None]
"""What happens now, and to which node; see ``core.events.Course``."""

Work = Batch | Awaitable[Batch]
"""The outputs, or what will be them."""


class FlowNode(Protocol):
    """What a flow calls for a node. What ``start`` raises at once was refused before it left."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether another try may end differently. Here the same process would run the same rows again."""

    def start(self, inputs: Batch, rows: int, deadline_s: float | None, threads: Threads, note: Note) -> Work:
        """Begin. ``deadline_s`` is on the monotonic clock; ``note`` hears of what else than an answer comes of it."""

    def check(self, answer: Batch, rows: int) -> None:
        """``Bug`` when what came later is not what was promised for these rows."""


class LocalNode:
    """In this process: on the event loop while that takes less than a hop into a thread is worth. Is a ``Runnable``."""

    is_elsewhere = False

    def __init__(self, name: str, call: Predict, cost: Cost) -> None:
        self.plan = name
        self._call = call
        self._cost = cost
        self._inline_rows = cost.inline_rows

    def start(self, inputs: Batch, rows: int, deadline_s: float | None, threads: Threads, note: Note) -> Work:
        if rows <= self._inline_rows:
            return self._call(inputs)
        return threads(self, inputs, rows, deadline_s, Trace(""))

    def check(self, answer: Batch, rows: int) -> None:
        """It was loaded with the signature that it is trusted for."""

    def run(self, batch: Batch, trace: Trace | None = None) -> Batch:
        """In a thread."""
        before = perf_counter()
        outputs = self._call(batch)
        if trace is not None:
            trace.node_s[self.plan] = perf_counter() - before
        return outputs

    def warm_us(self, rows: int) -> float:
        return self._cost.us(rows)


class RemoteNode:
    """In a deployment of its own, whose answers are checked: it may be of another build, or wrong."""

    is_elsewhere = True

    def __init__(self, name: str, remote: Remote, outputs: tuple[TensorSpec, ...]) -> None:
        self._name = name
        self._remote = remote
        self._outputs = outputs

    def start(self, inputs: Batch, rows: int, deadline_s: float | None, threads: Threads, note: Note) -> Work:
        return self._remote.call(inputs, rows, deadline_s)

    def check(self, answer: Batch, rows: int) -> None:
        """Every output is there, of its datatype, with these rows and the shape that was promised."""
        for spec in self._outputs:
            array = answer.get(spec.name)
            if array is None:
                raise Bug(f"node {self._name!r} answered without its output {spec.name!r}")
            want = (rows, *spec.shape[1:])
            fits = len(array.shape) == len(want) and all(
                size in (-1, got) for size, got in zip(want, array.shape, strict=True)
            )
            if array.dtype != NUMPY[spec.datatype] or not fits:
                raise Bug(
                    f"node {self._name!r} answered {spec.name!r} as {array.dtype} {list(array.shape)}; "
                    f"expected {spec.datatype} {list(want)}"
                )


def later(work: Awaitable[Batch]) -> "asyncio.Future[Batch]":
    """As a future, which it mostly is already."""
    return asyncio.ensure_future(work)
