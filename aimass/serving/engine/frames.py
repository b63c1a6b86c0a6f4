"""A layout's steps ready to run on lists of values: names were looked up once, and became slots."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from aimass.core.batch import Array, Batch
from aimass.core.events import Trace
from aimass.serving.layout import LayoutNode

Predict = Callable[[Batch], Batch]
Values = list[Any]
Rows = Array | None  # indices; None: all of them


class Step:
    """One node: which slots it reads, what it calls, which slots it fills. ``call`` is None where it runs elsewhere."""

    __slots__ = ("call", "fallback", "name", "node", "reads", "writes")

    inner: tuple[str, ...] = ()  # the nodes that run inside it

    def __init__(
        self,
        node: LayoutNode,
        call: Predict | None,
        reads: Sequence[tuple[str, int]],
        writes: Sequence[tuple[str, int]],
        fallback: "Port | None" = None,
    ) -> None:
        self.node = node
        self.name = node.name
        self.call = call
        self.reads = tuple(reads)
        self.writes = tuple(writes)
        self.fallback = fallback

    @property
    def after(self) -> set[int]:
        """The slots that must be filled before."""
        return {slot for _, slot in self.reads}

    def run(self, values: Values, trace: Trace | None = None) -> None:
        """Fill its slots."""
        answer = self.call({port: values[slot] for port, slot in self.reads})  # type: ignore[misc]
        for name, slot in self.writes:
            values[slot] = answer[name]


class Frame:
    """Values of the same rows: what is taken in from around, and the steps that fill the rest, in an order in which
    they can run. For those who start each as soon as it can: ``waits`` says for how many others each step waits,
    ``followers`` who waits for it, ``makers`` which step fills a slot."""

    __slots__ = ("followers", "makers", "size", "steps", "takes", "waits")

    def __init__(self, takes: Sequence[tuple[int, int]], steps: Sequence[Step], size: int) -> None:
        self.takes = tuple(takes)
        self.steps = tuple(steps)
        self.size = size
        self.makers = {slot: index for index, step in enumerate(steps) for _, slot in step.writes}
        before = [{self.makers[slot] for slot in step.after if slot in self.makers} for step in steps]
        self.waits = tuple(len(makers) for makers in before)
        self.followers = tuple(
            tuple(index for index, makers in enumerate(before) if maker in makers) for maker in range(len(steps))
        )

    def open(self, around: Values, rows: Rows) -> Values:
        """A list of values that holds what is taken in, for these rows of it."""
        values: Values = [None] * self.size
        for outer, slot in self.takes:
            value = around[outer]
            values[slot] = value if rows is None or value is None else value[rows]
        return values

    def run(self, values: Values, trace: Trace | None) -> None:
        """Every step, one after another; given a trace, with the seconds of each."""
        if trace is None:
            for step in self.steps:
                step.run(values)
            return
        before = perf_counter()
        for step in self.steps:
            step.run(values, trace)
            after = perf_counter()
            trace.node_s[step.name] = after - before
            if step.inner:
                trace.node_s[step.name] -= sum(trace.node_s.get(name, 0.0) for name in step.inner)
            before = after


class Port:
    """A way that rows can go: what runs for it, and the slots in there of what it gives. None in one: that is lost."""

    __slots__ = ("frame", "gives", "name")

    def __init__(self, name: str, frame: Frame, gives: Sequence[int]) -> None:
        self.name = name
        self.frame = frame
        self.gives = tuple(gives)
