"""Replicas come and go under load, and every request is counted: growing, newer code, shrinking."""

import asyncio
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest

import aimass
from aimass.testing.faults.beside import calling
from aimass.testing.running import RunningPlatform, running
from tests.e2e.e2e_kit import deploy_scaling, eventually, pids_of

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.slow]

BODY = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1.0,2.0]}]}'
ROOT = Path(__file__).parents[2]


@dataclass
class Load:
    """Clients that call without rest: half of them keep their connection, half open one per request."""

    platform: RunningPlatform
    clients: int
    answered: int = 0
    lost: list[str] = field(default_factory=list)
    by_replica: Counter[str] = field(default_factory=Counter)
    stopped: bool = False

    async def run(self) -> None:
        await asyncio.gather(*(self._call(keeps=number % 2 == 0) for number in range(self.clients)))

    async def _call(self, keeps: bool) -> None:
        headers = {"authorization": f"Bearer {self.platform.key}"}
        if not keeps:
            headers["connection"] = "close"
        async with httpx.AsyncClient(base_url=self.platform.url, headers=headers, timeout=30) as client:
            while not self.stopped:
                try:
                    answer = await client.post("/v2/models/fleet/infer", content=BODY)
                    if answer.status_code != 200 or answer.json()["outputs"][0]["data"] != [3.0, 6.0]:
                        self.lost.append(answer.text)
                    self.answered += 1
                    self.by_replica[answer.headers["x-aimass-request-id"][:8]] += 1
                except httpx.HTTPError as error:
                    self.lost.append(repr(error))


def load_of(platform: RunningPlatform, clients: int) -> AbstractContextManager[Load]:
    load = Load(platform, clients)
    return calling(load, load.run())


def replicas_of(platform: RunningPlatform) -> list[int]:
    with platform.control() as control:
        return sorted(item["pid"] for item in control.status()["replicas"])


def upgrade(platform: RunningPlatform, code: Path) -> None:
    """Lay newer code where the platform's is, and have it taken over."""
    face = code / "aimass" / "__init__.py"
    face.write_text(face.read_text().replace(f'"{aimass.__version__}"', '"99.0"'))
    environment = {**platform.environment, "PYTHONPATH": str(code)}
    subprocess.run([sys.executable, "-m", "aimass", "upgrade"], env=environment, cwd=code, check=True, timeout=180)


def versions(platform: RunningPlatform) -> set[str]:
    """What replicas and console say that they run."""
    with platform.control() as control:
        replicas = control.desired()["state"]["replicas"]
        return {item["version"] for item in replicas} | {control.platform()["version"]}


def _is_even(load: Load, replicas: int) -> bool:
    """Whether each of so many replicas answers within a quarter of the mean, over some hundred calls."""
    load.by_replica.clear()
    eventually(lambda: sum(load.by_replica.values()) >= 100 * replicas, 60)
    counts = list(load.by_replica.values())
    mean = sum(counts) / replicas
    return len(counts) == replicas and all(abs(count - mean) <= 0.25 * mean for count in counts)


def test_no_request_is_lost_while_the_fleet_changes(tmp_path: Path) -> None:
    size = {"gateway_min_replicas": 1, "gateway_max_replicas": 3, "gateway_target_in_flight": 2}
    code = tmp_path / "code"
    shutil.copytree(ROOT / "aimass", code / "aimass")
    with running(tmp_path / "home", code=code, **size) as platform:
        deploy_scaling(platform, tmp_path, "fleet", 3.0, size=512)  # long enough for calls to queue
        with load_of(platform, clients=16) as load:
            eventually(lambda: len(replicas_of(platform)) == 3, 90)
            eventually(partial(_is_even, load, 3), 120)  # ten seconds on an idle machine

            before = {*replicas_of(platform), *pids_of(platform, "ray::Reconciler")}
            upgrade(platform, code)
            eventually(lambda: not before & {*replicas_of(platform), *pids_of(platform, "ray::Reconciler")}, 90)
            eventually(lambda: versions(platform) == {"99.0"})  # the console before may still finish its calls
        with load_of(platform, clients=1) as quiet:
            eventually(lambda: len(replicas_of(platform)) == 1, 120)
        assert load.lost == []
        assert quiet.lost == []
        assert load.answered > 1000
