"""What a gateway hands to the payload log: the sample by ids, errors always, what callers sent, and nothing unasked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.core.home import Home
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.gateway.metrics import merge, render
from aimass.gateway.payloads.watching import ERRORS_PER_S, open_payloads, place
from aimass.gateway.state import GatewayState
from aimass.monitoring.payloads import log as log_module
from aimass.monitoring.payloads.log import CALL_BYTES, PayloadLog
from aimass.monitoring.payloads.payload import Payload
from aimass.monitoring.payloads.reading import read
from aimass.monitoring.payloads.spill import parts, records
from aimass.monitoring.payloads.storing import store
from aimass.serving.loader import LoadedPlan
from aimass.testing.gateway import INFER, ROWS, SIGNATURE, Gateway, StubPlan, body, connect, full_after, key, service
from tests.waiting import until

ALL = {"sample": 1.0, "keep_days": 7, "keep_mb": 500, "private": {"mask": [], "encrypt": []}}


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def _watched(gateway: Gateway, plan: LoadedPlan, said: dict[str, Any] | None, **limits: Any) -> PayloadLog:
    log = open_payloads(gateway.app, Home(gateway.folder), "replica", gateway.metrics, gateway.clock)
    known = service(**limits)
    revisions = tuple(replace(item, payloads=said) for item in known.revisions)
    gateway.number += 1
    state = GatewayState(gateway.number, (key(),), (replace(known, revisions=revisions),))
    gateway.app.apply(state, {("iris", 1): plan})
    return log


def _kept(gateway: Gateway, log: PayloadLog) -> list[Payload]:
    log.close()
    return read(Home(gateway.folder))


async def test_an_answer_is_kept_as_it_was_asked_and_given(gateway: Gateway, plan: LoadedPlan) -> None:
    log = _watched(gateway, plan, ALL)
    async with connect(gateway.app, "direct") as client:
        answer = await client.post(INFER, json=body(id="mine"))
    (kept,) = _kept(gateway, log)
    assert kept.request_id == answer.headers["x-aimass-request-id"]
    assert (kept.service, kept.revision, kept.status, kept.plan) == ("iris", 1, 200, "merged")
    assert (kept.client_id, kept.key_id, kept.account, kept.rows) == ("mine", "key-1", "default", 2)
    assert kept.inputs["x"].tobytes() == np.array(ROWS, np.float32).tobytes()
    assert kept.outputs["label"].tolist() == answer.json()["outputs"][0]["data"]
    assert kept.us["total"] >= kept.us["run"] > 0


async def test_the_sample_is_of_ids_and_errors_are_always_kept(gateway: Gateway, plan: LoadedPlan) -> None:
    log = _watched(gateway, plan, {**ALL, "sample": 0.3})
    ids = []
    async with connect(gateway.app) as client:
        for _ in range(60):
            ids.append((await client.post(INFER, json=body())).headers["x-aimass-request-id"])
        refused = await client.post(INFER, json={"inputs": []})
        late = await client.post(INFER, json=body(parameters={"timeout": 1}))
    kept = {item.request_id: item for item in _kept(gateway, log)}
    errors = {refused.headers["x-aimass-request-id"]: 400, late.headers["x-aimass-request-id"]: 504}
    assert kept.keys() == {name for name in ids if place(name) < 0.3} | errors.keys()
    assert 0 < len(kept) < 60
    assert {name: kept[name].status for name in errors} == errors
    assert kept[refused.headers["x-aimass-request-id"]].inputs == {}
    assert kept[late.headers["x-aimass-request-id"]].inputs["x"].tolist() == ROWS


def test_places_are_spread_evenly() -> None:
    found = [place(f"abcdef01{index:08x}") for index in range(20_000)]
    for share in (0.01, 0.1, 0.5):
        expected = share * len(found)
        bound = 3.3 * (expected * (1 - share)) ** 0.5  # 99.9 %
        assert abs(sum(item < share for item in found) - expected) < bound


async def test_a_flood_of_errors_is_kept_up_to_a_rate_and_counted_beyond(gateway: Gateway, plan: LoadedPlan) -> None:
    log = _watched(gateway, plan, ALL)
    async with connect(gateway.app) as client:
        for _ in range(200):
            await client.post(INFER, json={"inputs": []})
    dropped = gateway.metrics.payloads_dropped["iris", "rate"]
    kept = len(_kept(gateway, log))
    assert kept >= ERRORS_PER_S and kept + dropped == 200
    shot = merge([gateway.metrics.snapshot(), gateway.metrics.snapshot()])
    text = render(shot, 2).decode()
    assert f'aimass_payloads_dropped_total{{reason="rate",service="iris"}} {2 * dropped}' in text


async def test_a_service_that_keeps_nothing_has_no_watcher(gateway: Gateway, plan: LoadedPlan) -> None:
    log = _watched(gateway, plan, None)
    async with connect(gateway.app) as client:
        await client.post(INFER, json=body())
    assert gateway.app.table.services["iris"].targets[1].watchers == ()
    assert _kept(gateway, log) == [] and not (gateway.folder / "payloads").exists()


async def test_serving_goes_on_while_the_disk_takes_nothing(gateway: Gateway, plan: LoadedPlan) -> None:
    (gateway.folder / "payloads").write_text("in the way")
    log = _watched(gateway, plan, ALL)
    async with connect(gateway.app) as client:
        answers = [(await client.post(INFER, json=body())).status_code for _ in range(20)]
        assert answers == [200] * 20 and log.held_bytes > 0
        (gateway.folder / "payloads").unlink()
        await client.post(INFER, json=body())
    assert len(_kept(gateway, log)) == 21


async def test_serving_goes_on_while_the_disk_is_full_and_what_comes_after_is_kept(
    gateway: Gateway, plan: LoadedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("REST_S", 0.005), ("AGAIN_S", 0.01), ("CALLS_HELD", 10), ("CHUNK_BYTES", 1)):
        monkeypatch.setattr(log_module, name, value)
    log, asked = _watched(gateway, plan, ALL), body(ROWS * 200)  # a payload beside which the journal is small
    dropped = gateway.metrics.payloads_dropped
    ids: list[str] = []

    async def call() -> None:
        answer = await client.post(INFER, json=asked)
        assert answer.status_code == 200 and len(answer.json()["outputs"][0]["data"]) == 400
        ids.append(answer.headers["x-aimass-request-id"])

    async with connect(gateway.app) as client:
        for _ in range(20):
            await call()
            await until(lambda: log.held_bytes == 0)
        (part,) = parts(gateway.folder / "payloads" / "spill")
        with full_after(part.stat().st_size + 1000):  # a real write stops in the middle of a record
            while not dropped.get(("iris", "disk")):
                await call()
            await call()
            assert len(list(records(part))) == 20
        assert dropped["iris", "disk"] >= 2
        await until(lambda: log.held_bytes == 0)
        await call()
    kept = {item.request_id for item in _kept(gateway, log)}
    assert kept > {ids[0], ids[-1]} and len(kept) + sum(dropped.values()) == len(ids), "kept or counted"
    assert len(gateway.events()) == len(ids), "and metered all the same"


async def test_texts_count_by_their_length(gateway: Gateway) -> None:
    texts = Signature(SIGNATURE.inputs, (TensorSpec("text", Datatype.BYTES, (-1,)),))
    lengths = iter([CALL_BYTES // 2 - 4096, CALL_BYTES // 2])  # of each row's, of two

    def tell(batch: Batch) -> Batch:
        length = next(lengths)
        return {"text": np.array([b"a" * length] * 2, object)}

    log = _watched(gateway, StubPlan(tell, texts).loaded, ALL)
    async with connect(gateway.app) as client:
        assert [(await client.post(INFER, json=body())).status_code for _ in range(2)] == [200, 200]
    (kept,) = _kept(gateway, log)
    assert [len(text) for text in kept.outputs["text"]] == [CALL_BYTES // 2 - 4096] * 2
    assert gateway.metrics.payloads_dropped == {("iris", "large"): 1}


async def test_a_call_that_breaks_is_kept_with_its_inputs(gateway: Gateway) -> None:
    log = _watched(gateway, StubPlan(_fail, SIGNATURE).loaded, ALL)
    async with connect(gateway.app) as client:
        assert (await client.post(INFER, json=body())).status_code == 500
    (kept,) = _kept(gateway, log)
    assert (kept.status, kept.inputs["x"].tolist(), kept.outputs) == (500, ROWS, {})
    assert store(gateway.folder / "payloads") == 1


def _fail(batch: Batch) -> Batch:
    raise ValueError("broken")
