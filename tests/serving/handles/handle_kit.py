"""A whole gateway on an event loop of another thread, and a handle's way to it, without Ray."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from aimass.core.batch import Batch
from aimass.gateway.protocols import arrays
from aimass.serving.arrays import ArraysCall
from aimass.serving.handle import Handle
from aimass.testing.gateway import SECRET, Gateway, StubPlan, scores


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

    def feedback(self, body: bytes, key: str) -> Out:
        return Out(asyncio.run_coroutine_threadsafe(arrays.feedback(self.gateway.app, body, key), self.loop))

    def serve(self, plan: Any, *keys: Any, **limits: Any) -> None:
        async def apply() -> None:
            self.gateway.serve(plan, *keys, **limits)

        asyncio.run_coroutine_threadsafe(apply(), self.loop).result(10)

    def handle(self, service: str = "iris", key: str = SECRET, revision: int | None = None) -> Handle:
        return Handle(service, key, revision, lambda: self)


def plan_of(call: Callable[[Batch], Batch] | None = None, **more: Any) -> Any:
    def by_numpy(batch: Batch) -> Batch:
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    return StubPlan(call or by_numpy, **more).loaded


async def end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
