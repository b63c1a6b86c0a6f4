"""A real model that was let go, and what a call meets when its file is gone, damaged, or back."""

import asyncio
import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from aimass.core.clock import ManualClock
from aimass.gateway.loading import Loading
from aimass.gateway.protocols.http import Reply
from aimass.gateway.residency.residency import Residency
from aimass.gateway.state import GatewayState, Limits, RevisionState, ServiceState
from aimass.registry.artifacts import checkout
from aimass.serving.layout import Layout
from aimass.serving.loader import load
from aimass.storage.local import LocalStore
from aimass.testing.gateway import INFER, Gateway, body, key, layout, nowhere, real_plan, scores
from tests.gateway.residency.residency_kit import HEADERS

SCOPE = {"method": "POST", "path": INFER, "headers": HEADERS, "client": ("127.0.0.1", 1)}


class Shop:
    """A replica with one real model, out of a store as on disk."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.store, self.cache = LocalStore(folder / "artifacts"), folder / "cache"
        real_plan(folder)  # writes the file
        self.data = (folder / "model.onnx").read_bytes()
        self.digest = self.store.put(self.data)
        self.gateway = Gateway(folder / "home", self.clock)
        self.residency = Residency(self.gateway.metrics, exchanged=self.gateway.app.exchange)
        check_out = partial(checkout, self.store, cache=self.cache)
        self.loading = Loading(partial(load, checkout=check_out), self._apply, nowhere, self.clock, self.residency)
        data = layout().to_json()
        data["nodes"][0]["files"] = {"model.onnx": self.digest}
        revision = RevisionState(1, "d1", Layout.from_json(data).to_json())
        service = ServiceState("iris", "default", Limits(), {1: 100.0}, (revision,))
        self.state = GatewayState(1, (key(),), (service,))

    async def open(self) -> None:
        self._apply()
        self.loading.prepare(self.state)
        await self.loading.settle()

    def let_go(self) -> None:
        bound, self.residency.bound_bytes = self.residency.bound_bytes, 0
        self.loading.retry(self.state)
        self.residency.bound_bytes = bound
        assert self.loading.asleep == (("iris", 1),)

    async def call(self) -> Reply:
        self.clock.advance(100)  # beyond any pause after a failure
        found: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        waiting = self.gateway.app.submit(SCOPE, json.dumps(body([[1, 2, 3, 4]])).encode(), found.set_result)
        return await (waiting or found)

    def _apply(self) -> None:
        self.gateway.app.apply(self.state, self.loading.plans)


async def test_it_answers_as_before_and_says_why_while_its_file_is_gone_or_damaged(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    await shop.open()
    before = await shop.call()
    shop.let_go()
    assert (await shop.call()).body == before.body
    found = {item["name"]: item["data"] for item in json.loads(before.body)["outputs"]}
    assert found["scores"] == pytest.approx(scores([[1, 2, 3, 4]])[0].tolist())

    shop.let_go()
    shop.store.delete(shop.digest)
    shutil.rmtree(shop.cache)
    gone = await shop.call()
    assert gone.head.status == 503
    assert b"let go for want of memory, cannot be loaded again: model.onnx" in gone.body
    assert "model.onnx" in shop.loading.failed["iris/1"]

    path = tmp_path / "artifacts" / shop.digest[:2] / shop.digest[2:]
    path.write_bytes(b"not a model")
    damaged = await shop.call()
    assert (damaged.head.status, b"cannot be loaded again" in damaged.body) == (503, True)

    path.write_bytes(shop.data)
    assert (await shop.call()).body == before.body
    assert shop.loading.failed == {}
    shop.loading.close()
