"""Receipts of several services that are written together."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.core.home import Home
from aimass.core.settings import Settings
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.gateway.feedback import watching
from aimass.gateway.feedback.opening import OpenFeedback
from aimass.gateway.state import GatewayState, ServiceState
from aimass.monitoring.feedback import receipt
from aimass.monitoring.feedback.receipts import Receipts
from aimass.testing.gateway import Gateway, StubPlan, body, connect, key, service

WIDE = Signature(
    (TensorSpec("x", Datatype.FP32, (-1, 4)),),
    (TensorSpec("label", Datatype.INT64, (-1,)), TensorSpec("scores", Datatype.FP32, (-1, -1))),
)


def as_wide_as_the_first_value(batch: Batch) -> Batch:
    width = int(batch["x"][0, 0])
    return {"label": np.zeros(len(batch["x"]), np.int64), "scores": np.ones((len(batch["x"]), width), np.float32)}


def with_members(name: str) -> ServiceState:
    made = service(name)
    return dataclasses.replace(
        made, revisions=(dataclasses.replace(made.revisions[0], feedback={"members": ["scores"]}),)
    )


async def ask(gateway: Gateway, *names: str) -> list[str]:
    """The request ids of one call to each; all within the time in which receipts gather."""
    async with connect(gateway.app) as client:
        answers = [
            await client.post(f"/v2/models/{name}/infer", json=body([[width, 0, 0, 0]]))
            for width, name in enumerate(names, start=1)
        ]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.headers["x-aimass-request-id"] for answer in answers]


@pytest.fixture
def opened(tmp_path: Path) -> tuple[Gateway, OpenFeedback]:
    gateway = Gateway(tmp_path)
    found = OpenFeedback(gateway.app, Settings(home=Home(tmp_path)), "replica", gateway.clock)
    plan = StubPlan(as_wide_as_the_first_value, WIDE, inline_rows=100).loaded
    state = GatewayState(1, (key(scopes=("predict", "feedback")),), (with_members("a"), with_members("b")))
    gateway.app.apply(state, {("a", 1): plan, ("b", 1): plan})
    return gateway, found


async def test_members_of_other_widths_have_receipts_of_their_own(opened: tuple[Gateway, OpenFeedback]) -> None:
    gateway, feedback = opened
    ids = await ask(gateway, "a", "a", "b", "a")
    feedback.close()
    found = Receipts(gateway.folder / "receipts").find(ids)
    assert [len(found[name].members["scores"][0]) for name in ids] == [1, 2, 3, 4]
    assert feedback.lost == 0


async def test_what_cannot_be_written_of_one_service_costs_no_other_its_receipts(
    opened: tuple[Gateway, OpenFeedback], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = receipt.encode

    def encode(shared: Any, *more: Any) -> bytes:
        if shared.service == "a":
            raise ValueError("no receipt")
        return real(shared, *more)

    monkeypatch.setattr(watching, "encode", encode)
    gateway, feedback = opened
    ids = await ask(gateway, "a", "b") + await ask(gateway, "a", "b")
    feedback.close()
    found = Receipts(gateway.folder / "receipts").find(ids)
    assert sorted(found) == sorted([ids[1], ids[3]])
    assert feedback.lost == 2 and "receipts of service 'a' cannot be made" in caplog.text
