"""What a caller is known by, so that it stays at its revision: a header, its key, or a field of the request.

A call that lacks it is known by its request id alone, which is to say that it is chosen by itself.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from aimass.core.errors import AimassError
from aimass.serving.traffic.base import check_by

if TYPE_CHECKING:
    from aimass.gateway.infer import Call
    from aimass.gateway.routes import Target

Known = Callable[["Call", "Target", Any, int], str]
"""A call, the revision with the most traffic, the body (none: there is none) and how large it may be → its key, or
"" where it has none."""


def known_by(by: str) -> Known | None:
    """How calls are known; ``by`` as ``Traffic`` takes it. None: by their ids alone."""
    kind, name = check_by(by)
    if kind == "header":
        return _Header(name)
    if kind == "field":
        return _Field(name)
    return _by_key if kind == "key" else None


def _by_key(call: "Call", main: "Target", body: Any, max_bytes: int) -> str:
    return call.key.id if call.key is not None else ""


class _Header:
    """HTTP's headers, gRPC's metadata, the headers that a Python handle is given."""

    def __init__(self, name: str) -> None:
        self._name = name.lower().encode()

    def __call__(self, call: "Call", main: "Target", body: Any, max_bytes: int) -> str:
        return call.headers.get(self._name, b"").decode("latin-1")


class _Field:
    """The request's parameter of that name; where it has none, the first element of the input of that name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, call: "Call", main: "Target", body: Any, max_bytes: int) -> str:
        if body is None:
            return ""
        try:
            request = call.codec.read(call, main, body, max_bytes)
        except AimassError:
            return ""  # the revision that it goes to says what is wrong
        found = request.parameters.get(self._name) if request.parameters else None
        if found is None and self._name in request.batch and request.batch[self._name].size:
            found = request.batch[self._name].flat[0]
        if found is None:
            return ""
        return str(found.item() if isinstance(found, np.generic) else found)
