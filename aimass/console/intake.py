"""The body of a request as it comes in: no larger and no slower than it may be, thrown away where nobody wants it."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from aimass.core.errors import SlowBody, TooLarge
from aimass.gateway.protocols.http import Receive

STALL_S = 15.0  # between two pieces of a body
UPLOAD_S = 300.0  # for all of it: 64 MiB at 220 kB/s, a model of 90 MB at 300
DISCARD_S = 2.0  # a refused caller that still sends reads its answer within that; a closed port would drop it unread


@dataclass(frozen=True)
class Limit:
    """Bytes of a body, and the setting that says so."""

    size_bytes: int
    setting: str


class Intake:
    """ASGI's ``receive`` with bounds; the errors are raised to whoever asks for the body."""

    def __init__(self, scope: Any, receive: Receive, limit: Limit) -> None:
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        self._announced = int(length) if length.isdigit() else 0
        self._receive = receive
        self._limit = limit
        self._taken = 0
        self._until: float | None = None
        self.is_whole = self._announced == 0 and b"transfer-encoding" not in headers

    async def receive(self) -> Any:
        """The next message; ``TooLarge`` or ``SlowBody`` while there is still body to come."""
        if self.is_whole:
            return await self._receive()
        if self._announced > self._limit.size_bytes:
            raise self._too_large()
        now = asyncio.get_running_loop().time()
        self._until = self._until or now + UPLOAD_S
        try:
            async with asyncio.timeout_at(min(now + STALL_S, self._until)):
                message = await self._receive()
        except TimeoutError:
            raise SlowBody(f"the body stopped after {self._taken} bytes or came too slowly; send it again") from None
        self._taken += len(message.get("body", b""))
        self.is_whole = not message.get("more_body")
        if self._taken > self._limit.size_bytes:
            raise self._too_large()
        return message

    async def discard(self) -> None:
        """Take what still comes, and keep none of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_S):
                while not self.is_whole:
                    self.is_whole = not (await self._receive()).get("more_body")

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the body is larger than {self._limit.size_bytes} bytes; {self._limit.setting} raises the limit"
        )
