"""Numbered states: as bytes and back, what they route, and what stays while something loads."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.batch import Batch
from aimass.core.clock import ManualClock
from aimass.core.errors import Invalid
from aimass.gateway.loading import Loading
from aimass.gateway.metrics import Metrics
from aimass.gateway.routes import Table, build_table
from aimass.gateway.state import GatewayState, KeyState, Limits, RevisionState, ServiceState
from aimass.serving.batching.rules import Rules
from aimass.serving.layout import Fanout, Layout
from aimass.serving.loader import Known, LoadedPlan
from aimass.serving.plans.fanout import layout_of
from aimass.serving.remote import Remotes
from aimass.testing.gateway import SIGNATURE, Gateway, StubPlan, body, connect, heard, key, layout, nowhere, service


class Elsewhere:
    """A node that never answers."""

    def call(self, batch: Batch, rows: int, deadline_s: float | None) -> "asyncio.Future[Batch]":
        return asyncio.get_running_loop().create_future()


names = st.text("abc-9", min_size=1, max_size=8)
numbers = st.integers(1, 9)
keys = st.builds(
    KeyState,
    id=names,
    account=names,
    digest=st.binary(min_size=32, max_size=32).map(bytes.hex),
    scopes=st.lists(names).map(tuple),
    rate_per_s=st.none() | st.floats(0.1, 100),
    expires_at=st.none() | st.floats(0, 1e10),
)
revisions = st.builds(RevisionState, number=numbers, digest=names, layout=st.just(layout().to_json()))
services = st.builds(
    ServiceState,
    name=names,
    account=names,
    limits=st.builds(Limits, deadline_ms=st.none() | st.floats(1, 1e5), max_queue=numbers),
    weights=st.dictionaries(numbers, st.floats(0, 100)),
    revisions=st.lists(revisions, max_size=3).map(tuple),
)
states = st.builds(
    GatewayState,
    number=numbers,
    keys=st.lists(keys, max_size=3).map(tuple),
    services=st.lists(services, max_size=3).map(tuple),
    replicas_hint=numbers,
)


@given(states)
def test_a_state_survives_its_bytes(state: GatewayState) -> None:
    assert GatewayState.loads(state.dumps()) == state


def _plan() -> LoadedPlan:
    return StubPlan(lambda batch: batch, inline_rows=9).loaded


def _table(before: Table | None, *services: ServiceState, loaded: tuple[int, ...]) -> Table:
    plans = {("iris", number): _plan() for number in loaded}
    return build_table(GatewayState(1, (), services), plans, Metrics(), before)


def _picked(table: Table) -> set[int]:
    return {table.services["iris"].pick(heard(f"request-{index}")).revision for index in range(200)}


def test_calls_go_where_the_weights_say() -> None:
    both = _table(None, service(weights={1: 50.0, 2: 50.0}, revisions=(1, 2)), loaded=(1, 2))
    assert _picked(both) == {1, 2}
    second = _table(both, service(weights={1: 0.0, 2: 100.0}, revisions=(1, 2)), loaded=(1, 2))
    assert _picked(second) == {2}
    assert "/v2/models/iris/versions/1/infer" in second.infer


def test_while_the_new_revision_loads_the_old_one_answers() -> None:
    old = _table(None, service(), loaded=(1,))
    new_state = service(weights={2: 100.0}, revisions=(2,))
    waiting = _table(old, new_state, loaded=(1,))
    assert _picked(waiting) == {1}
    assert waiting.in_use == {("iris", 1)}
    assert _picked(_table(waiting, new_state, loaded=(1, 2))) == {2}


def test_a_replica_that_has_only_some_revisions_uses_those() -> None:
    assert _picked(_table(None, service(weights={1: 10.0, 2: 90.0}, revisions=(1, 2)), loaded=(1,))) == {1}


@pytest.mark.parametrize("weights", [{}, {1: 100.0}])
async def test_a_service_that_cannot_answer_says_503(tmp_path: Path, weights: dict[int, float]) -> None:
    gateway = Gateway(tmp_path)
    gateway.app.apply(GatewayState(1, (key(),), (service(weights=weights),)), {})
    async with connect(gateway.app) as client:
        for path in ("/v2/models/iris/infer", "/v2/models/iris/versions/1/infer"):
            answer = await client.post(path, json=body())
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await client.get("/v2/models/iris/ready")).status_code == 503
        index = (await client.get("/v2/repository/index")).json()
        assert [(item["version"], item["state"]) for item in index] == [("1", "UNAVAILABLE")]


async def test_an_undeployed_service_is_gone(gateway: Gateway) -> None:
    gateway.app.apply(GatewayState(2, (key(),), ()), {})
    async with connect(gateway.app) as client:
        assert (await client.post("/v2/models/iris/infer", json=body())).status_code == 404


def test_queues_and_counts_outlive_a_state() -> None:
    plans = {("iris", 1): _plan()}
    metrics = Metrics()
    first = build_table(GatewayState(1, (), (service(max_queue=3),)), plans, metrics, None)
    second = build_table(GatewayState(2, (), (service(max_queue=7),)), plans, metrics, first)
    one, other = (table.services["iris"].targets[1] for table in (first, second))
    assert one.slot is other.slot
    assert other.slot.rules.max_queue == 7
    assert one.series is other.series


async def test_loading_happens_beside_the_loop_and_failures_are_named() -> None:
    seen: list[str] = []

    def load(wanted: Layout, /, *, known: Known | None = None) -> LoadedPlan:
        if wanted.plan == "fused":
            raise Invalid("artifact 00 is corrupted")
        return _plan()

    loading = Loading(load, lambda: seen.append("changed"), nowhere, ManualClock())
    bad = RevisionState(2, "d2", layout("fused").to_json())
    good = service()
    state = GatewayState(1, (), (ServiceState("iris", "default", Limits(), {1: 100.0}, (*good.revisions, bad)),))
    loading.prepare(state)
    assert loading.plans == {}
    await loading.settle()
    assert set(loading.plans) == {("iris", 1)}
    assert loading.failed == {"iris/2": "artifact 00 is corrupted"}
    assert seen == ["changed"]
    kept = loading.plans["iris", 1]
    loading.prepare(state)
    await loading.settle()
    assert loading.plans["iris", 1] is kept


async def test_what_could_not_be_loaded_is_tried_again_less_and_less_often_and_named_until_it_is_there() -> None:
    tried: list[float] = []
    clock = ManualClock(0.0)

    def load(_: Layout, /, *, known: Known | None = None) -> LoadedPlan:
        tried.append(clock.monotonic())
        if clock.monotonic() < 130:
            raise Invalid("artifact 00 is missing")
        return _plan()

    loading = Loading(load, lambda: None, nowhere, clock)
    state = GatewayState(1, (), (service(),))
    loading.prepare(state)
    for _ in range(250):
        await loading.settle()
        expected = {} if loading.plans else {"iris/1": "artifact 00 is missing"}
        assert loading.failed == expected
        clock.advance(1.0)
        loading.retry(state)
        assert loading.failed == expected
    assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    assert set(loading.plans) == {("iris", 1)}


async def test_nobody_tries_again_what_no_state_wants_any_more() -> None:
    tried: list[str] = []
    clock = ManualClock()

    def load(wanted: Layout, /, *, known: Known | None = None) -> LoadedPlan:
        tried.append(wanted.plan)
        raise Invalid("too little memory")

    loading = Loading(load, lambda: None, nowhere, clock)
    loading.prepare(GatewayState(1, (), (service(),)))
    await loading.settle()
    clock.advance(1000.0)
    loading.retry(GatewayState(2))
    await loading.settle()
    assert (len(tried), loading.failed) == (1, {})


async def test_a_revision_with_nodes_elsewhere_is_loaded_when_they_answer_and_fails_with_their_reason() -> None:
    met = asyncio.Event()

    async def connect(name: str, revision: int, wanted: Layout, rules: Rules) -> Remotes:
        await met.wait()
        if revision == 2:
            raise Invalid("node 'n' does not load")
        return {"n": Elsewhere()}

    whole = layout("fanout")
    (step,) = whole.nodes
    moved = replace(step, runtime="", files={}, remote="n")
    apart = replace(whole, nodes=(moved,), apps={"n": Fanout(layout_of(step))})
    revisions = tuple(RevisionState(number, f"d{number}", apart.to_json()) for number in (1, 2))

    def load(wanted: Layout, /, *, known: Known | None = None) -> LoadedPlan:
        return LoadedPlan(wanted, {}, [], known)

    loading = Loading(load, lambda: None, connect, ManualClock())
    loading.prepare(GatewayState(1, (), (ServiceState("iris", "default", Limits(), {1: 100.0}, revisions),)))
    await asyncio.sleep(0.01)
    assert loading.plans == {}
    met.set()
    await loading.settle()
    assert loading.plans["iris", 1].flow is not None
    assert loading.failed == {"iris/2": "node 'n' does not load"}


def test_the_layout_of_a_state_is_what_serving_reads() -> None:
    assert Layout.from_json(service().revisions[0].layout).signature == SIGNATURE
