"""Callers that call in a thread of their own while a test goes on."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar


class Load(Protocol):
    """Its callers end once it is ``stopped``."""

    stopped: bool


LoadT = TypeVar("LoadT", bound=Load)


@contextmanager
def calling(load: LoadT, callers: Coroutine[Any, Any, None]) -> Iterator[LoadT]:
    """Whoever leaves the block waits for the last answer."""
    thread = threading.Thread(target=lambda: asyncio.run(callers))
    thread.start()
    try:
        yield load
    finally:
        load.stopped = True
        thread.join()
