"""ModelStreamInfer: calls in a row on one stream, some under way at a time, answered in their order."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc

from aimass.core.errors import Kind
from aimass.gateway.grpc.codec import Answered, Refused
from aimass.gateway.grpc.messages import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse
from aimass.gateway.grpc.methods import Context, Methods, refuse

UNDER_WAY = 16  # calls of one stream; no more is read from it until the first of them was taken by the caller
REQUEST_ID = "x-aimass-request-id"
STALL_S = 30.0  # a caller that has not taken an answer by then is given up
FATAL = (Kind.UNAUTHENTICATED, Kind.DENIED)  # as gRPC status: nothing on this stream can succeed

_FINAL: bytes = ModelInferResponse(parameters={"triton_final_response": {"bool_param": True}}).SerializeToString()

Item = tuple[str, Awaitable[Answered | Refused]]


class StreamInfer:
    """``serve`` is the method's handler. An answer that the caller does not take holds this stream only."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods

    async def serve(self, _: Any, context: Context) -> None:
        line: asyncio.Queue[Item | None] = asyncio.Queue(UNDER_WAY)
        reading = asyncio.create_task(self._read(context, line))
        try:
            await self._answer(context, line)
        finally:
            reading.cancel()
            while not line.empty():
                _let_go(line.get_nowait())

    async def _read(self, context: Context, line: "asyncio.Queue[Item | None]") -> None:
        """Start the calls as they come; ``None`` ends the line."""
        while (body := await context.read()) is not grpc.aio.EOF:
            asked = self._methods.read(ModelInferRequest, body)
            if isinstance(asked, Refused):
                await line.put(("", _settled(asked)))
            else:
                await line.put((asked.id, asyncio.ensure_future(self._methods.call(asked, len(body), context))))
        await line.put(None)

    async def _answer(self, context: Context, line: "asyncio.Queue[Item | None]") -> None:
        while (item := await line.get()) is not None:
            try:
                answer = await item[1]
            except asyncio.CancelledError:
                _let_go(item)
                raise
            if self._methods.held is not None:
                await self._methods.held.wait()
            if isinstance(answer, Refused) and answer.error.kind in FATAL:
                refuse(context, answer)
                return
            try:
                await asyncio.wait_for(context.write(_response(answer, item[0])), STALL_S)
            except TimeoutError:  # gRPC keeps the few answers that it has taken, and this status behind them
                context.set_code(grpc.StatusCode.CANCELLED)
                context.set_details(f"no answer was taken for {STALL_S:g} s; read what you asked for")
                return


def _response(answer: Answered | Refused, own_id: str) -> bytes:
    if isinstance(answer, Answered):
        # A message is the concatenation of its parts.
        inner = ModelInferResponse.FromString(answer.body + _FINAL)
        inner.parameters[REQUEST_ID].string_param = _request_id(answer)
        told: bytes = ModelStreamInferResponse(infer_response=inner).SerializeToString()
        return told
    about = {"id": own_id, "parameters": {REQUEST_ID: {"string_param": _request_id(answer)}}}
    refused: bytes = ModelStreamInferResponse(error_message=str(answer.error), infer_response=about).SerializeToString()
    return refused


def _request_id(answer: Answered | Refused) -> str:
    """A stream has trailers once; each of its answers names its own request."""
    return dict(answer.trailers).get(REQUEST_ID, "")


def _settled(answer: Refused) -> "asyncio.Future[Answered | Refused]":
    done: asyncio.Future[Answered | Refused] = asyncio.get_running_loop().create_future()
    done.set_result(answer)
    return done


def _let_go(item: Item | None) -> None:
    if item is not None and isinstance(item[1], asyncio.Future):
        item[1].cancel()
