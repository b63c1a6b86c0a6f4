"""Whatever arrives, fails, expires or is taken back, in whatever order: nobody gets anybody else's rows."""

import asyncio
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.core.batch import Batch
from aimass.core.errors import Invalid, Timeout, Unavailable
from aimass.serving.batching.batcher import Batcher, Done
from aimass.serving.batching.rules import Rules
from aimass.serving.batching.waiting import Trip
from tests.serving.batching.batching_kit import submit, tell
from tests.serving.virtual_time import VirtualLoop, run


@dataclass(frozen=True)
class Caller:
    """``after_ms``: since the caller before. ``bad``: its rows fail any call that holds them."""

    after_ms: int
    rows: int
    width: int
    bad: bool
    deadline_ms: int | None
    cancel_ms: int | None


@dataclass(frozen=True)
class Place:
    max_rows: int
    max_wait_ms: int
    lanes: int
    more: int  # width beyond the lanes
    max_queue: int
    fixed_ms: int
    row_ms: int
    knows_cost: bool
    dies_at: int | None  # this call is answered by nobody


def make_callers(count: int, seed: int) -> list[Caller]:
    """Dense on purpose: hypothesis' own lists hardly ever hold several that share a call and differ in their fate."""
    random = np.random.default_rng(seed)

    def pick(*values: int | None) -> int | None:
        return values[random.integers(len(values))]

    return [
        Caller(
            after_ms=pick(0, 0, 0, 0, 1, 4, 9, 80) or 0,
            rows=int(random.integers(1, 6)),
            width=pick(1, 1, 1, 2) or 1,
            bad=bool(random.random() < 0.07),
            deadline_ms=pick(None, None, None, 1, 23, 30, 60),
            cancel_ms=pick(None, None, None, None, 0, 5, 20, 25, 30),
        )
        for _ in range(count)
    ]


places = st.builds(
    Place,
    max_rows=st.sampled_from([1, 6, 1024, 1024]),
    max_wait_ms=st.sampled_from([0, 2, 15]),
    lanes=st.sampled_from([1, 1, 2]),
    more=st.integers(0, 2),
    max_queue=st.sampled_from([3, 512, 512]),
    fixed_ms=st.sampled_from([1, 20, 20]),
    row_ms=st.sampled_from([0, 0, 3]),
    knows_cost=st.booleans(),
    dies_at=st.sampled_from([None, None, 0, 1, 3]),
)


class Model:
    """Says of each row how it was called; checks every call that it gets."""

    def __init__(self, loop: VirtualLoop, place: Place) -> None:
        self.loop = loop
        self.place = place
        self.count = 0
        self.under_way = 0
        self.ran: dict[int, float] = {}  # caller → when it ran last
        self.gone: set[int] = set()  # callers who had their answer or had given up

    def cost_s(self, rows: int) -> float:
        return (self.place.fixed_ms + self.place.row_ms * rows) / 1e3

    def __call__(self, trip: Trip, done: Done) -> None:
        ids = trip.batch["id"]
        names = set(ids.tolist())
        assert not names & self.gone, "rows of somebody who had given up were run"
        assert len(ids) == trip.rows == len(trip.batch["x"])
        assert trip.rows <= self.place.max_rows or len(names) == 1
        self.under_way += 1
        assert self.under_way <= self.place.lanes + self.place.more
        for name in names:
            self.ran[name] = self.loop.time()
        self.count += 1
        task = asyncio.ensure_future(self._answer(trip, dies=self.count - 1 == self.place.dies_at))
        task.add_done_callback(lambda _: tell(task, done))
        trip.abandon = task.cancel

    async def _answer(self, trip: Trip, dies: bool) -> Batch:
        try:
            await asyncio.sleep(self.cost_s(trip.rows))
        finally:
            self.under_way -= 1
        if dies:
            raise Unavailable("nobody is there")
        if trip.batch["bad"].any():
            raise Invalid("a bad row")
        return {"id": trip.batch["id"] * 10, "y": trip.batch["x"].sum(axis=1)}


async def _call(name: int, caller: Caller, batcher: Batcher, model: Model, loop: VirtualLoop) -> str:
    """What became of it, in a word."""
    batch: Batch = {
        "x": np.full((caller.rows, caller.width), name, np.float64),
        "id": np.full(caller.rows, name),
        "bad": np.full(caller.rows, caller.bad),
    }
    began = loop.time()
    deadline_s = None if caller.deadline_ms is None else began + caller.deadline_ms / 1e3
    try:
        answer = await submit(batcher, batch, caller.rows, deadline_s)
    except Invalid:
        return "invalid"
    except Timeout as error:
        assert deadline_s is not None
        assert loop.time() >= deadline_s - 1e-6 or "too busy" in str(error)
        return "timeout"
    except Unavailable as error:
        assert loop.time() == began or "nobody is there" in str(error), "who is refused is refused at once"
        return "unavailable"
    except asyncio.CancelledError:
        return "cancelled"
    finally:
        model.gone.add(name)
    assert answer.outputs["id"].tolist() == [name * 10] * caller.rows
    assert answer.outputs["y"].tolist() == [name * caller.width] * caller.rows
    assert 0 <= answer.waited_s <= loop.time() - began + 1e-6
    return "answered"


@settings(max_examples=200, deadline=None)
@given(count=st.integers(12, 60), seed=st.integers(0, 2**32 - 1), place=places)
def test_every_caller_gets_its_own_rows_or_one_honest_error(count: int, seed: int, place: Place) -> None:
    plan = make_callers(count, seed)

    async def program(loop: VirtualLoop) -> None:
        model = Model(loop, place)
        rules = Rules(place.max_rows, place.max_wait_ms / 1e3, place.lanes, place.lanes + place.more, place.max_queue)
        batcher = Batcher("it", model, rules, loop, model.cost_s if place.knows_cost else None)
        tasks = []
        for name, caller in enumerate(plan, start=1):
            if caller.after_ms:
                await asyncio.sleep(caller.after_ms / 1e3)
            task = asyncio.ensure_future(_call(name, caller, batcher, model, loop))
            tasks.append(task)
            if caller.cancel_ms is not None:
                loop.call_later(caller.cancel_ms / 1e3, task.cancel)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome, caller in zip(outcomes, plan, strict=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                raise outcome  # an assertion in a task
            if outcome == "answered":
                assert not caller.bad
            if outcome == "invalid":
                assert caller.bad, "somebody else's bad row failed this request"
            if outcome == "cancelled":
                assert caller.cancel_ms is not None
        await asyncio.sleep(10)
        assert (batcher.waiting, batcher.out, model.under_way) == (0, 0, 0)
        model.place = replace(place, dies_at=None)
        lone = Caller(0, 1, 1, bad=False, deadline_ms=None, cancel_ms=None)
        began = loop.time()
        assert await _call(len(plan) + 1, lone, batcher, model, loop) == "answered"
        assert model.ran[len(plan) + 1] == began, "a lone request waited"

    run(program)
