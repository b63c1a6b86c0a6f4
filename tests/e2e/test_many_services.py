"""More services than memory holds, on a whole platform: every call is answered, and what is in memory is said."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest

from aimass.core.errors import Invalid
from aimass.testing.running import RunningPlatform, running
from tests.e2e.e2e_kit import aimass, deploy_scaling, eventually, scaling_document

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

MIB = 2**20
SIZE = 512  # squared, times 4 bytes: 1 MiB a file, and some 8 MiB a model
FACTORS = {f"scale-{number}": float(number) for number in range(1, 7)}
BOUND = 30 * MIB


async def _ask(platform: RunningPlatform, calls: int) -> Counter[str]:
    """So many calls beside each other to all services in turn; what came of them."""
    names = list(FACTORS)
    found: Counter[str] = Counter()
    headers = {"authorization": f"Bearer {platform.key}"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=60) as client:

        async def one(number: int) -> None:
            name = names[number % len(names)]
            tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [number, 1.0]}
            answer = await client.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
            right = [number * FACTORS[name], FACTORS[name]]
            is_right = answer.status_code == 200 and answer.json()["outputs"][0]["data"] == right
            found["right" if is_right else answer.text] += 1

        for first in range(0, calls, 12):
            await asyncio.gather(*(one(number) for number in range(first, first + 12)))
    return found


@pytest.mark.slow
def test_services_share_what_memory_there_is(tmp_path: Path) -> None:
    with running(tmp_path / "home", gateway_memory_bytes=BOUND) as platform, platform.control() as control:
        for name, factor in FACTORS.items():
            deploy_scaling(platform, tmp_path, name, factor, SIZE)
        assert asyncio.run(_ask(platform, 120)) == {"right": 120}

        def within() -> bool:
            """It is looked at once a second, and calls may hold more meanwhile."""
            (replica,) = control.status()["replicas"]
            assert (replica["loaded"], replica["bound_bytes"]) == (len(FACTORS), BOUND)
            return bool(0 < replica["resident_bytes"] <= BOUND and replica["asleep"] >= 2)

        eventually(within)
        (replica,) = control.status()["replicas"]
        listed = aimass(platform, "services").stdout
        residents = [(item["ready"], item["resident"]) for item in control.services()]
        assert set(residents) == {(1, 0), (1, 1)}
        assert [item["pid"] for item in control.status()["replicas"]] == [replica["pid"]]
        assert listed.count("asleep") == residents.count((1, 0)), listed
        text = httpx.get(f"{platform.url}/metrics").text
        assert "aimass_resident_bytes{" in text
        assert "aimass_evictions_total{" in text

        pinned = scaling_document("scale-1", "scale-1@1", "{pinned: true}")
        assert control.deploy(pinned)["revision"] == 2
        big = deploy_scaling_error(platform, tmp_path)
        assert "needs" in big
        assert "beside scale-1/2, pinned" in big
        assert "AIMASS_GATEWAY_MEMORY_BYTES allows 30.0 MiB" in big
        assert asyncio.run(_ask(platform, 60)) == {"right": 60}
        assert next(item for item in control.services() if item["name"] == "scale-1")["resident"] == 1


def deploy_scaling_error(platform: RunningPlatform, folder: Path) -> str:
    """Why a model of 7 MiB on disk and several times that in memory is refused beside a pinned one."""
    with pytest.raises(Invalid) as refused:
        deploy_scaling(platform, folder, "large", 2.0, 1300)
    return str(refused.value)
