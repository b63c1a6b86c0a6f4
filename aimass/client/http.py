"""What all clients have of HTTP: how they connect and close, and what they raise where nobody answers."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from aimass.client.connection import Connection
from aimass.client.failures import unreachable


def options(connection: Connection, timeout_s: float, verify: ssl.SSLContext | bool | None) -> dict[str, Any]:
    """Of an ``httpx`` client; ``verify`` of None: as the connection says."""
    trusted = connection.verify if verify is None else verify
    return {"headers": connection.headers, "timeout": timeout_s, "verify": trusted}


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Whatever keeps a request from an answer is raised as one of our errors."""
    try:
        yield
    except httpx.HTTPError as error:
        raise unreachable(error, url) from error


class Closing:
    """A client that is closed by hand, or by ``with``."""

    _http: httpx.Client

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
