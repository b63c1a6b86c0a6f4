"""The Python SDK: ``Client`` and ``AsyncClient`` for calls, ``Control`` for everything the command line does.

The names load when they are first used, so that the command line starts without numpy.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aimass.client.async_client import AsyncClient as AsyncClient
    from aimass.client.client import Client as Client
    from aimass.client.control import Control as Control

_FACE = {"Client": "client", "AsyncClient": "async_client", "Control": "control"}


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'aimass.client' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"aimass.client.{_FACE[name]}"), name)
