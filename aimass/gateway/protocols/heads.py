"""uvicorn's HTTP protocol with bounds for the heads of requests, for which its httptools half has none.

Nobody has shown a key while a head is on its way, so neither its size nor its time may be the caller's choice.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aimass.core.errors import AimassError, SlowHead, TooLargeHead
from aimass.core.ids import new_id
from aimass.gateway.protocols.http import refusal

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 128
HEAD_S = 20.0  # from the first bytes of a head to its last
REST_S = 2.0  # a refused caller that still sends reads its answer within that; a closed port would drop it unread


class BoundedProtocol(HttpToolsProtocol):
    """Larger heads get 431, slower ones 408, and their connection ends; a silent one ends as after an answer."""

    _measures = False  # whether heads are measured: they came in parts, or with much behind them
    _oversize = False
    _refused = False
    _waits_after: Any = None  # the newest cycle when the wait for a head began
    _until = 0.0
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._close_at(self.loop.time() + self.timeout_keep_alive)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        size = len(data)
        if size > MAX_HEAD_BYTES:
            self._measures = True
        super().data_received(data)
        cycle = self.cycle
        if (
            cycle is None
            or cycle.scope is not self.scope
            or (cycle.response_complete and self.timeout_keep_alive_task is None)
        ):
            self._await_head(size)

    def on_headers_complete(self) -> None:
        if len(self.headers) > MAX_HEADERS or (self._measures and self._size() > MAX_HEAD_BYTES):
            self._oversize = True
            raise TooLargeHead(_OVERSIZE)  # stops the parser; uvicorn calls send_400_response
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if self._oversize:
            self._refuse(TooLargeHead(_OVERSIZE))
        else:
            super().send_400_response(msg)

    def timeout_keep_alive_handler(self) -> None:
        if self._until and self._waits_after is self.cycle:
            self._refuse(SlowHead(f"the head of the request did not arrive within {HEAD_S:g} s; send it again"))
        else:
            super().timeout_keep_alive_handler()

    def _await_head(self, size: int) -> None:
        """Bytes came, and no request is on its way to an answer: a part of a head, or what nobody asked for."""
        if self._refused or self.transport.is_closing():
            return
        cycle = self.cycle
        self._measures = True
        if not self._until or self._waits_after is not cycle:  # these bytes may have ended another request
            self._waits_after, self._head_bytes, self._until = cycle, 0, self.loop.time() + HEAD_S
        elif cycle is None or cycle.scope is not self.scope:
            self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(TooLargeHead(_OVERSIZE))
        elif cycle is None or cycle.response_complete:
            self._close_at(self._until)

    def _close_at(self, when: float) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_at(when, self.timeout_keep_alive_handler)

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def _refuse(self, error: AimassError) -> None:
        """The last answer of this connection. Answers that are due before it go out instead, and the last ends it."""
        if self.transport.is_closing():
            return
        self._refused = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
            return
        own = [*self.server_state.default_headers, (b"connection", b"close")]
        self.transport.write(refusal(error, new_id("req")).wire(b"".join(b"%b: %b\r\n" % line for line in own)))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._unset_keepalive_if_required()
        self.loop.call_later(REST_S, self.transport.close)


_OVERSIZE = f"the head of the request is larger than {MAX_HEAD_BYTES // 1024} KiB or has over {MAX_HEADERS} lines"
