"""A handle's way to the gateway: Serve's own handle to its deployment, with our errors."""

import sys
from collections.abc import Generator
from typing import Any, Protocol

from aimass.core.errors import AimassError, Bug, Timeout, Unavailable
from aimass.serving.arrays import APP, DEPLOYMENT, ArraysCall


class Pending(Protocol):
    """A call that is out, as Serve's ``DeploymentResponse``."""

    def result(self, *, timeout_s: float | None) -> Any: ...

    def cancel(self) -> None: ...

    def __await__(self) -> Generator[Any, None, Any]: ...


class Link(Protocol):
    """The way to the gateway."""

    def predict(self, call: ArraysCall) -> Pending: ...

    def describe(self, service: str, revision: int | None, key: str) -> Pending: ...

    def feedback(self, body: bytes, key: str) -> Pending: ...


class ServeLink:
    """The way by Serve's handle to the gateway's deployment."""

    def __init__(self) -> None:
        ray = sys.modules.get("ray")  # not imported here: join(), which the error asks for, must come before Ray
        if ray is None or not ray.is_initialized():
            raise Unavailable(
                "this program is not connected to a Ray cluster; call aimass.serving.handle.join() first, or submit it "
                "as a Ray job, or use aimass.client.Client"
            )
        from ray import serve

        try:
            gateway = serve.get_deployment_handle(DEPLOYMENT, APP)
        except Exception as error:
            raise Unavailable(
                f"no AI Mass gateway runs in this Ray cluster ({type(error).__name__}); start the platform: aimass up"
            ) from error
        self._predict = gateway.options(method_name="predict_arrays", _by_reference=False)
        self._describe = gateway.options(method_name="describe_service", _by_reference=False)
        self._feedback = gateway.options(method_name="take_feedback", _by_reference=False)

    def predict(self, call: ArraysCall) -> Pending:
        pending: Pending = self._predict.remote(call)
        return pending

    def describe(self, service: str, revision: int | None, key: str) -> Pending:
        pending: Pending = self._describe.remote(service, revision, key)
        return pending

    def feedback(self, body: bytes, key: str) -> Pending:
        pending: Pending = self._feedback.remote(body, key)
        return pending


def as_ours(error: Exception, service: str) -> AimassError:
    """What went wrong on the way, as one of our errors."""
    import grpc
    from ray.exceptions import RayError, RayTaskError
    from ray.serve.exceptions import RayServeException

    if isinstance(error, AimassError):
        return error
    if isinstance(error, TimeoutError):
        ours: AimassError = Timeout(f"the deadline of this call to {service!r} passed; allow it more time")
    elif isinstance(error, RayTaskError):
        ours = Bug(f"the gateway failed on a call to {service!r}: {error.cause}")
    elif isinstance(error, RayError | RayServeException | grpc.RpcError | ConnectionError):
        lost = f"the gateway's replica was lost during a call to {service!r}; try again ({type(error).__name__})"
        ours = Unavailable(lost, retry_after_s=1)
    else:
        ours = Bug(f"a call to {service!r} failed on its way: {type(error).__name__}: {error}")
    ours.__cause__ = error
    return ours
