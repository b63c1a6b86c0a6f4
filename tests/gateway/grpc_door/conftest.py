"""A gateway with the small model behind its gRPC door, and clients at it."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import tritonclient.grpc.aio as triton

from aimass.testing.gateway import Gateway
from tests.gateway.grpc_door.grpc_kit import opened


@pytest.fixture
async def address(gateway: Gateway) -> AsyncIterator[str]:
    async with opened(gateway) as where:
        yield where


@pytest.fixture
async def client(address: str) -> AsyncIterator[Any]:
    """Triton's own."""
    made = triton.InferenceServerClient(address)
    yield made
    await made.close()


@pytest.fixture
async def channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as made:
        yield made
