"""What the tests of the gRPC door share: the door on a free port, and requests as Triton's messages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from aimass.gateway.grpc.door import GrpcDoor
from aimass.testing.gateway import BEARER, ROWS, Gateway

MAX_BYTES = 20_000
SERVICE = "/inference.GRPCInferenceService"
KEY = tuple(BEARER.items())


@asynccontextmanager
async def opened(gateway: Gateway, **options: Any) -> AsyncIterator[str]:
    """The door on a free port; where it listens."""
    door = GrpcDoor(gateway.app, ("127.0.0.1", 0), MAX_BYTES, **options)
    await door.open()
    try:
        yield f"127.0.0.1:{door.port}"
    finally:
        await door.close()


def request(rows: Any = None, **more: Any) -> Any:
    """A good ModelInferRequest with raw contents."""
    values = np.array(ROWS if rows is None else rows, "<f4")
    made = service_pb2.ModelInferRequest(**{"model_name": "iris", **more})
    made.inputs.add(name="x", datatype="FP32", shape=values.shape)
    made.raw_input_contents.append(values.tobytes())
    return made


def stub(channel: grpc.aio.Channel, method: str, answer: Any) -> Any:
    """A unary method of the service, from bytes or a message to a message."""
    return channel.unary_unary(f"{SERVICE}/{method}", _bytes, answer.FromString)


def infer(channel: grpc.aio.Channel) -> Any:
    return stub(channel, "ModelInfer", service_pb2.ModelInferResponse)


def read(answer: Any, name: str) -> Any:
    """An output of a ModelInferResponse with raw contents, as numpy."""
    index = [output.name for output in answer.outputs].index(name)
    output = answer.outputs[index]
    kinds = {"FP32": "<f4", "INT64": "<i8"}
    return np.frombuffer(answer.raw_output_contents[index], kinds[output.datatype]).reshape(output.shape)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Status, details and trailing metadata of a call that must fail."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or "", {str(key): str(value) for key, value in error.trailing_metadata()}
    raise AssertionError("the call was answered")


def _bytes(message: Any) -> bytes:
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())
