"""Small steps that the batching tests share."""

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from aimass.core.batch import Batch
from aimass.core.errors import Timeout
from aimass.serving.batching.batcher import Batcher, Done
from aimass.serving.batching.waiting import Entry


def tell(task: "asyncio.Task[Batch]", done: Done) -> None:
    """How the task ended, to a batcher."""
    if task.cancelled():
        done({}, Timeout("let go"))
    elif error := task.exception():
        done({}, error)
    else:
        done(task.result(), None)


@dataclass(frozen=True)
class Answer:
    """What a caller has got."""

    outputs: Batch
    waited_s: float
    run_s: float
    node_s: dict[str, float]


class Asked:
    """Rows that were handed over; await it for the answer."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry

    def __await__(self) -> Generator[Any, None, Answer]:
        outputs = yield from self._entry.answer.__await__()
        return Answer(outputs, self._entry.waited_s, self._entry.run_s, self._entry.node_s)

    def cancel(self) -> None:
        self._entry.answer.cancel()


def submit(batcher: Batcher, batch: Batch, rows: int, deadline_s: float | None = None) -> Asked:
    """Hands the rows over at once, not when somebody awaits them."""
    return Asked(batcher.submit(batch, rows, deadline_s))
