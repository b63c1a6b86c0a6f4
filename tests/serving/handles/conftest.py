"""The other side of a handle."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aimass.testing.gateway import Gateway, real_plan
from tests.serving.handles.handle_kit import Other, end_tasks


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Other]:
    gateway = Gateway(tmp_path)
    gateway.serve(real_plan(tmp_path))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield Other(gateway, loop)
    asyncio.run_coroutine_threadsafe(end_tasks(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
