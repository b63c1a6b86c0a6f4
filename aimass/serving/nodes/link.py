"""A node's deployment as seen from a gateway replica: Serve's handle, with our errors."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol

from aimass.core.batch import Batch
from aimass.core.errors import AimassError, Bug, TooLarge, Unavailable
from aimass.serving.nodes.wire import Errand, Greeting, Outcome

LOOK_S = 0.2


class Link(Protocol):
    """Calls to one deployment. What a replica answers is a value, also an error; raised is only what came between."""

    def infer(self, batch: Batch, errand: Errand) -> Awaitable[Outcome]: ...

    def greet(self) -> Awaitable[Greeting]: ...


class HandleLink:
    """The link over a Serve ``DeploymentHandle``, which holds calls while no replica runs."""

    def __init__(self, name: str, handle: Any) -> None:
        self._name = name
        self._infer = handle.options(method_name="infer", _by_reference=False)
        self._greet = handle.options(method_name="greet", _by_reference=False)

    async def infer(self, batch: Batch, errand: Errand) -> Outcome:
        outcome: Outcome = await self._ask(self._infer, batch, errand)
        return outcome

    async def greet(self) -> Greeting:
        greeting: Greeting = await self._ask(self._greet)
        return greeting

    async def _ask(self, method: Any, *arguments: Any) -> Any:
        response = method.remote(*arguments)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except Exception as error:
            raise self._as_ours(error) from error

    def _as_ours(self, error: Exception) -> AimassError:
        """A replica that is lost, full or gone with its deployment is nobody there; what a replica raised is a bug."""
        import grpc
        from ray.exceptions import RayTaskError

        if isinstance(error, RayTaskError):
            return Bug(f"node {self._name!r} failed: {error}")
        if isinstance(error, grpc.aio.AioRpcError) and error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
            return TooLarge(f"a call to node {self._name!r} is too large: {error.details()}")
        return Unavailable(
            f"node {self._name!r} lost the replica that ran this call; try again ({type(error).__name__})",
            retry_after_s=1,
        )


async def find_link(app: str, name: str) -> HandleLink:
    """The link once the deployment exists; it may have no replica yet."""
    from ray import serve

    while True:
        try:
            return HandleLink(name, await asyncio.to_thread(serve.get_deployment_handle, name, app))
        except Exception:  # noqa: BLE001 - Serve has no error of its own for "not there yet"
            await asyncio.sleep(LOOK_S)
