"""A gateway with the small model, and a client by every way a request can come."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from aimass.serving.loader import LoadedPlan
from aimass.testing.gateway import Gateway, connect, real_plan


@pytest.fixture
def plan(tmp_path_factory: pytest.TempPathFactory) -> LoadedPlan:
    return real_plan(tmp_path_factory.mktemp("model"))


@pytest.fixture
def gateway(tmp_path: Path, plan: LoadedPlan) -> Gateway:
    made = Gateway(tmp_path, options={"max_body_bytes": 20_000})
    made.serve(plan)
    return made


@pytest.fixture(params=["memory", "asgi", "direct"])
async def client(request: pytest.FixtureRequest, gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(gateway.app, request.param) as made:
        yield made
