"""Small steps that the batching tests share."""

import asyncio

from aimass.core.batch import Batch
from aimass.core.errors import Timeout
from aimass.serving.batching.batcher import Done


def tell(task: "asyncio.Task[Batch]", done: Done) -> None:
    """How the task ended, to a batcher."""
    if task.cancelled():
        done({}, Timeout("let go"))
    elif error := task.exception():
        done({}, error)
    else:
        done(task.result(), None)
