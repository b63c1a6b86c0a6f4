"""A gateway that runs beside its callers, as it does in a cluster: what handles are tested against."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aimass.core.batch import Batch
from aimass.gateway.protocols import arrays
from aimass.serving.arrays import ArraysCall
from aimass.serving.handle import Handle
from aimass.testing.gateway import SECRET, Gateway, StubPlan, real_plan, scores


@dataclass
class Out:
    """A call under way on the other thread's event loop, as Serve's response is one."""

    future: "concurrent.futures.Future[Any]"

    def result(self, *, timeout_s: float | None) -> Any:
        return self.future.result(timeout_s)

    def cancel(self) -> None:
        self.future.cancel()

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.wrap_future(self.future).__await__()


@dataclass
class Other:
    """A gateway on an event loop of its own, and the way to it."""

    gateway: Gateway
    loop: asyncio.AbstractEventLoop
    calls: list[ArraysCall] = field(default_factory=list)

    def predict(self, call: ArraysCall) -> Out:
        self.calls.append(call)
        return Out(asyncio.run_coroutine_threadsafe(arrays.predict(self.gateway.app, call), self.loop))

    def describe(self, service: str, revision: int | None, key: str) -> Out:
        async def ask() -> Any:
            return arrays.describe(self.gateway.app, service, revision, key)

        return Out(asyncio.run_coroutine_threadsafe(ask(), self.loop))

    def serve(self, plan: Any, *keys: Any, **limits: Any) -> None:
        async def apply() -> None:
            self.gateway.serve(plan, *keys, **limits)

        asyncio.run_coroutine_threadsafe(apply(), self.loop).result(10)

    def handle(self, service: str = "iris", key: str = SECRET, revision: int | None = None) -> Handle:
        return Handle(service, key, revision, lambda: self)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Other]:
    gateway = Gateway(tmp_path)
    gateway.serve(real_plan(tmp_path))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield Other(gateway, loop)
    asyncio.run_coroutine_threadsafe(_end_tasks(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def plan(call: Callable[[Batch], Batch] | None = None, **more: Any) -> Any:
    def by_numpy(batch: Batch) -> Batch:
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    return StubPlan(call or by_numpy, **more).loaded
