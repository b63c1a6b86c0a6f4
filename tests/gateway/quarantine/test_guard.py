"""A hog beside a small service in one gateway: found by its own figures, held back, and the others go on."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from aimass.core.batch import Batch
from aimass.core.clock import ManualClock
from aimass.core.errors import Unavailable
from aimass.gateway.metrics import Metrics
from aimass.gateway.quarantine.guard import Guard
from aimass.gateway.quarantine.judge import STRIKES
from aimass.gateway.routes import Table, build_table
from aimass.gateway.state import GatewayState
from aimass.serving.loader import LoadedPlan
from aimass.serving.marks.marks import Marks
from aimass.testing.gateway import ROWS, Gateway, StubPlan, body, connect, heard, key, scores, service

HOG = "/v2/models/hog/infer"


class Neighbours:
    """A gateway with iris and a hog, and a guard whose seconds pass when a test says so."""

    def __init__(self, folder: Path, plan: LoadedPlan) -> None:
        self.clock = ManualClock()
        self.gateway = Gateway(folder)
        self.marks = Marks(folder / "marks", "replica")
        self.guard = Guard(self.marks.spent, self.clock)

        def work(batch: Batch) -> Batch:
            until = time.perf_counter() + 0.03
            while time.perf_counter() < until:
                pass
            return plan.run(batch)

        hog = StubPlan(self.marks.around("hog", 1, "n", work), inline_rows=64)
        self.plans = {("iris", 1): plan, ("hog", 1): hog.loaded}
        self.apply(1)

    def apply(self, number: int, aside: str = "") -> None:
        hog = service("hog")
        hog = replace(hog, revisions=(replace(hog.revisions[0], aside=aside),))
        self.gateway.app.apply(GatewayState(number, (key(),), (service(), hog)), self.plans)
        self.guard.bind(self.gateway.app.table)

    @property
    def table(self) -> Table:
        return self.gateway.app.table


async def test_a_hog_on_the_event_loop_is_held_back_and_its_neighbour_is_answered(
    tmp_path: Path, plan: LoadedPlan
) -> None:
    both = Neighbours(tmp_path, plan)
    async with connect(both.gateway.app) as client:
        for _ in range(STRIKES + 1):
            for _ in range(20):
                assert (await client.post("/v2/models/iris/infer", json=body())).status_code == 200
                assert (await client.post(HOG, json=body())).status_code == 200
            both.guard.sample_lag(0.03)
            both.clock.advance(1.0)
            both.guard.look(both.table)
        assert list(both.guard.held) == ["hog/1"]
        both.apply(2)  # a new state forgets nothing
        assert (await client.post(HOG, json=body())).status_code == 200, "one call at a time"
        refused = await client.post(HOG, json=body())
        assert refused.status_code == 503
        assert float(refused.headers["retry-after"]) >= 1
        assert "is in quarantine until" in refused.json()["error"]
        answer = await client.post("/v2/models/iris/infer", json=body())
        assert answer.json()["outputs"][1]["data"] == pytest.approx(scores(ROWS).ravel().tolist())
        both.clock.advance(61.0)
        both.guard.look(both.table)
        assert both.guard.held == {}
        for _ in range(3):
            assert (await client.post(HOG, json=body())).status_code == 200
    both.marks.close()


async def test_what_the_state_puts_aside_is_refused_with_its_reason_and_the_others_answer(
    tmp_path: Path, plan: LoadedPlan
) -> None:
    both = Neighbours(tmp_path, plan)
    both.apply(2, aside="was put aside: it killed a replica twice")
    async with connect(both.gateway.app) as client:
        refused = await client.post(HOG, json=body())
        assert (refused.status_code, refused.json()["kind"]) == (503, "unavailable")
        assert refused.json()["error"] == "service 'hog' revision 1 was put aside: it killed a replica twice"
        assert "retry-after" not in refused.headers, "asking again does not help"
        assert (await client.post("/v2/models/iris/infer", json=body())).status_code == 200
        both.apply(3)
        assert (await client.post(HOG, json=body())).status_code == 200
    both.marks.close()


def test_traffic_of_a_revision_that_is_put_aside_goes_to_those_beside_it(plan: LoadedPlan) -> None:
    split = service(weights={1: 90.0, 2: 10.0}, revisions=(1, 2))
    first, second = split.revisions
    aside = replace(split, revisions=(first, replace(second, aside="was put aside")))
    plans = {("iris", 1): plan, ("iris", 2): plan}
    table = build_table(GatewayState(1, (), (split,)), plans, Metrics(), None)
    table = build_table(GatewayState(2, (), (aside,)), plans, Metrics(), table)
    assert {table.services["iris"].pick(heard(str(number))).revision for number in range(50)} == {1}


def test_calls_do_not_fall_back_on_a_revision_that_is_put_aside_while_its_successor_loads(plan: LoadedPlan) -> None:
    first, second = service(revisions=(1, 2)).revisions
    before, after = service(), service(weights={2: 100.0}, revisions=(1, 2))
    after = replace(after, revisions=(replace(first, aside="was put aside"), second))
    plans = {("iris", 1): plan}
    table = build_table(GatewayState(1, (), (before,)), plans, Metrics(), None)
    table = build_table(GatewayState(2, (), (after,)), plans, Metrics(), table)
    with pytest.raises(Unavailable, match="is being loaded"):
        table.services["iris"].pick(heard("any"))


def test_a_call_under_way_is_charged_to_its_own_revision_not_to_one_beside_it(plan: LoadedPlan) -> None:
    """The service's threads are busy for revision 2; revision 1 is only kept, to go back to."""
    clock, spent = ManualClock(), {("hog", 2): 0.0}
    guard = Guard(lambda: spent, clock)
    hog = service("hog", weights={2: 100.0}, revisions=(1, 2))
    plans = {("iris", 1): plan, ("hog", 1): plan, ("hog", 2): plan}
    table = build_table(GatewayState(1, (), (service(), hog)), plans, Metrics(), None)
    busy, small = table.services["hog"].targets[2], table.services["iris"].targets[1]
    busy.slot.running = busy.series.in_flight = 1
    for _ in range(STRIKES + 1):
        for _ in range(20):
            small.series.answer(0.001, 1)
        spent["hog", 2] += 0.95
        guard.sample_lag(0.03)
        clock.advance(1.0)
        guard.look(table)
    assert list(guard.held) == ["hog/2"]
