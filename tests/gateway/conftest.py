"""A gateway with the small model, and a client by every way a request can come."""

import subprocess
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


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signed itself, and its key."""
    cert, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(secret), "-out", str(cert)]
    subprocess.run([*make.split(), *more], check=True, capture_output=True)
    return cert, secret
