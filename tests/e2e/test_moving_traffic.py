"""Traffic is split from the command line on the running platform while callers ask: none is lost, none is mixed."""

import asyncio
import json
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest

from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import aimass, eventually, scaling_document, write_scaling

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

BODY = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1.0,2.0]}]}'
FACTORS = {1: 3.0, 2: 5.0}


class Callers:
    """Four users who ask without rest, and what they saw."""

    def __init__(self, platform: RunningPlatform) -> None:
        self._platform = platform
        self.stopped = False
        self.wrong: list[str] = []
        self.seen: dict[str, Counter[int]] = {f"user-{number}": Counter() for number in range(4)}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> "Callers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped = True
        self._thread.join()

    async def _run(self) -> None:
        headers = {"authorization": f"Bearer {self._platform.key}"}
        async with httpx.AsyncClient(base_url=self._platform.url, headers=headers, timeout=30) as client:
            await asyncio.gather(*(self._ask(client, user) for user in self.seen))

    async def _ask(self, client: httpx.AsyncClient, user: str) -> None:
        while not self.stopped:
            try:
                answer = await client.post("/v2/models/split/infer", content=BODY, headers={"x-user": user})
                revision = int(answer.headers["x-aimass-revision"])
                if answer.json()["outputs"][0]["data"][0] != FACTORS[revision]:
                    self.wrong.append(answer.text)
                self.seen[user][revision] += 1
            except (httpx.HTTPError, KeyError, ValueError) as error:
                self.wrong.append(repr(error))

    def forget(self) -> None:
        for counts in self.seen.values():
            counts.clear()

    def all_seen(self) -> Counter[int]:
        return sum(self.seen.values(), Counter())


def test_weights_move_under_load_and_lose_nobody(platform: RunningPlatform, tmp_path: Path) -> None:
    path = tmp_path / "split.yaml"
    with platform.control() as control:
        for factor in FACTORS.values():
            control.add_model("split", write_scaling(tmp_path / "split.onnx", factor))
        control.deploy(scaling_document("split", "split@1"))
    path.write_text(scaling_document("split", "split@2"))
    with Callers(platform) as callers:
        held = aimass(platform, "deploy", "--no-traffic", str(path), "--json")
        assert json.loads(held.stdout)["weights"] == {"1": 100.0}, held.stderr
        eventually(lambda: callers.all_seen()[1] > 20)
        assert callers.all_seen()[2] == 0
        done = aimass(platform, "traffic", "split", "1=50", "2=50", "--sticky", "header:x-user")
        assert "Acknowledged by" in done.stdout, done.stderr
        assert "Not acknowledged" not in done.stdout
        eventually(lambda: callers.all_seen()[2] > 0)
        callers.forget()
        eventually(lambda: all(counts.total() > 10 for counts in callers.seen.values()))
        assert all(len(counts) == 1 for counts in callers.seen.values()), "each caller stays at one revision"
        stayed = {user for user, counts in callers.seen.items() if 2 in counts}
        assert json.loads(
            aimass(platform, "traffic", "split", "1=10", "2=90", "--sticky", "header:x-user", "--json").stdout
        )
        callers.forget()
        eventually(lambda: all(counts.total() > 10 for counts in callers.seen.values()))
        assert stayed <= {user for user, counts in callers.seen.items() if set(counts) == {2}}, (
            "nobody leaves what grows"
        )
        back = aimass(platform, "rollback", "split")
        assert "all traffic of split goes to revision 1" in back.stdout, back.stderr
        callers.forget()
        eventually(lambda: callers.all_seen()[1] > 20)
    assert callers.wrong == []
    refused = aimass(platform, "traffic", "split", "1=90", "3=10")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "service split has no revision 3; there is: 1, 2" in refused.stderr
    shown = aimass(platform, "traffic", "split")
    assert "sticky" in shown.stdout
    assert "aimass rollback leads to" not in shown.stdout, "there is no revision before the first"
