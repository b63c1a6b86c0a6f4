"""Long calls wait for their turn: in bounds, fairly between services, and leave together where they can."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.core.clock import ManualClock
from aimass.core.errors import Invalid, Timeout, Unavailable
from aimass.core.events import Trace
from aimass.serving.batching.rules import Rules
from aimass.serving.executor import Executor, Slot

BATCH: Batch = {"x": np.zeros((1, 1), np.float32)}


class Plan:
    """Stands in for a loaded plan: each call says that it began, and ends when it is let go."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.plan = self.name = name
        self.log = log
        self.gate = threading.Event()
        self.began = threading.Event()
        self.error: Exception | None = None
        self.names_nodes = True

    def run(self, batch: Batch, trace: Trace | None = None) -> Batch:
        self.log.append(self.name)
        self.began.set()
        assert self.gate.wait(60)
        if trace is not None and self.names_nodes:
            trace.node_s[self.name] = 1.0
        if self.error is not None:
            raise self.error
        return batch

    def warm_us(self, rows: int) -> float:
        return 2e6


def slot_of(service: str, width: int, max_queue: int, max_rows: int = 64) -> Slot:
    return Slot(service, Rules(max_rows, width=width, max_queue=max_queue))


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    executor = Executor(1)
    yield executor
    executor.close()


def ask(executor: Executor, slot: Slot, plan: Plan, deadline_s: float | None = None) -> "asyncio.Task[Batch]":
    trace = Trace("r")
    return asyncio.ensure_future(executor.submit(slot, plan, BATCH, 1, deadline_s, trace))


async def begun(plan: Plan) -> None:
    assert await asyncio.to_thread(plan.began.wait, 60)


async def until(is_so: Callable[[], bool]) -> None:
    """The loop turns until then; the suite's own time limit is the bound."""
    while not is_so():  # noqa: ASYNC110 - what it waits for is not the loop's
        await asyncio.sleep(0)


async def test_the_answer_comes_back_with_its_times(executor: Executor) -> None:
    plan, trace = Plan("a", []), Trace("r")
    plan.gate.set()
    answer = await executor.submit(slot_of("s", 1, 0), plan, BATCH, 1, None, trace)
    assert answer is BATCH
    assert trace.queue_s >= 0
    assert trace.node_s == {"a": 1.0}


async def test_services_take_turns(executor: Executor) -> None:
    log: list[str] = []
    greedy, modest = slot_of("greedy", 1, 100, 1), slot_of("modest", 1, 100, 1)
    plan, other = Plan("greedy", log), Plan("modest", log)
    other.gate.set()
    tasks = [ask(executor, greedy, plan) for _ in range(6)]
    await begun(plan)
    tasks += [ask(executor, modest, other) for _ in range(2)]
    await until(lambda: (greedy.waiting, modest.waiting) == (5, 2))
    plan.gate.set()
    await asyncio.gather(*tasks)
    assert log == ["greedy", "modest", "greedy", "modest", "greedy", "greedy", "greedy", "greedy"]
    assert (greedy.running, modest.running) == (0, 0)


async def test_calls_that_gave_up_do_not_earn_their_service_more_turns(executor: Executor) -> None:
    log: list[str] = []
    hasty, modest = slot_of("hasty", 1, 100, 1), slot_of("modest", 1, 100, 1)
    first, quick, other = Plan("first", log), Plan("hasty", log), Plan("modest", log)
    running = ask(executor, modest, first)
    await begun(first)
    for _ in range(3):
        with pytest.raises(Timeout):
            await ask(executor, hasty, quick, asyncio.get_running_loop().time() + 0.005)
    tasks = [ask(executor, slot, plan) for slot, plan in [(hasty, quick)] * 3 + [(modest, other)] * 3]
    await until(lambda: (hasty.waiting, modest.waiting) == (3, 3))
    for plan in (quick, other, first):
        plan.gate.set()
    await asyncio.gather(running, *tasks)
    assert log == ["first", *["hasty", "modest"] * 3]


async def test_a_service_runs_no_more_at_a_time_than_its_bound() -> None:
    executor, log = Executor(4), list[str]()
    slot, plan = slot_of("s", 2, 100, 1), Plan("a", log)
    tasks = [ask(executor, slot, plan) for _ in range(5)]
    await until(lambda: slot.waiting == 3 and len(log) == 2)
    assert slot.running == 2
    plan.gate.set()
    await asyncio.gather(*tasks)
    executor.close()


async def test_a_full_queue_sheds_with_a_time_to_come_back(executor: Executor) -> None:
    slot, plan = slot_of("s", 1, 2, 1), Plan("a", [])
    tasks = [ask(executor, slot, plan) for _ in range(3)]
    await begun(plan)
    with pytest.raises(Unavailable, match="'s' has 2 calls waiting") as caught:
        await ask(executor, slot, plan)
    assert caught.value.retry_after_s == pytest.approx(6.0, abs=1), "three calls of 2 s are before it"
    plan.gate.set()
    await asyncio.gather(*tasks)
    assert (slot.running, slot.waiting) == (0, 0)


async def test_a_deadline_that_passes_in_the_queue(executor: Executor) -> None:
    slot, plan, waiting = slot_of("s", 1, 5), Plan("a", []), Plan("b", [])
    first = ask(executor, slot, plan)
    await begun(plan)
    with pytest.raises(Timeout, match="in the queue of service 's'"):
        await ask(executor, slot, waiting, asyncio.get_running_loop().time() + 0.02)
    plan.gate.set()
    await first
    assert waiting.log == []
    assert slot.waiting == 0


async def test_a_deadline_that_passes_while_it_runs_leaves_the_thread_taken(executor: Executor) -> None:
    slot, plan = slot_of("s", 1, 5), Plan("a", [])
    with pytest.raises(Timeout, match="before an answer of service 's'"):
        await ask(executor, slot, plan, asyncio.get_running_loop().time() + 0.02)
    assert slot.running == 1
    later = Plan("b", [])
    later.gate.set()
    second = ask(executor, slot, later)
    await until(lambda: slot.waiting == 1)
    assert not second.done()
    plan.gate.set()
    assert await second is BATCH


async def test_a_deadline_that_has_passed_already_runs_nothing() -> None:
    clock = ManualClock(100.0)
    executor, plan = Executor(1, clock), Plan("a", [])
    with pytest.raises(Timeout, match="could run it"):
        await ask(executor, slot_of("s", 1, 5), plan, 99.9)
    assert plan.log == []
    executor.close()


async def test_cancelled_while_it_waits_it_never_runs(executor: Executor) -> None:
    slot, plan, unwanted = slot_of("s", 1, 5), Plan("a", []), Plan("b", [])
    first = ask(executor, slot, plan)
    await begun(plan)
    task = ask(executor, slot, unwanted)
    await asyncio.sleep(0)
    task.cancel()
    plan.gate.set()
    assert await first is BATCH
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (unwanted.log, slot.running) == ([], 0)


async def test_cancelled_in_the_tick_of_its_turn_it_gives_the_thread_back(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, plan, unwanted, later = slot_of("s", 1, 5), Plan("a", []), Plan("b", []), Plan("c", [])
    first = ask(executor, slot, plan)
    await begun(plan)
    task = ask(executor, slot, unwanted)
    await asyncio.sleep(0)
    take_turn = executor._take_turn
    monkeypatch.setattr(executor, "_take_turn", lambda slot: (task.cancel(), take_turn(slot)))
    plan.gate.set()
    await first
    with pytest.raises(asyncio.CancelledError):
        await task
    assert unwanted.log == []
    later.gate.set()
    assert await ask(executor, slot, later) is BATCH
    assert slot.running == 0


async def test_cancelled_while_it_runs_it_keeps_the_thread_until_it_ends(executor: Executor) -> None:
    slot, plan, later = slot_of("s", 1, 5), Plan("a", []), Plan("b", [])
    plan.error = RuntimeError("nobody is there to hear it")
    task = ask(executor, slot, plan)
    await begun(plan)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slot.running == 1
    plan.gate.set()
    later.gate.set()
    assert await ask(executor, slot, later) is BATCH


async def test_calls_that_wait_leave_together_each_with_its_own_part(executor: Executor) -> None:
    slot, plan, told = slot_of("s", 1, 100), Plan("a", []), list[tuple[int, int]]()
    slot.observers[plan] = lambda rows, waits: told.append((rows, len(waits)))
    traces = [Trace(str(number)) for number in range(5)]
    batches: list[Batch] = [{"x": np.full((number + 1, 1), number, np.float32)} for number in range(5)]
    tasks = [
        asyncio.ensure_future(executor.submit(slot, plan, batch, len(batch["x"]), None, trace))
        for batch, trace in zip(batches, traces, strict=True)
    ]
    await begun(plan)
    plan.gate.set()
    for answer, batch in zip(await asyncio.gather(*tasks), batches, strict=True):
        np.testing.assert_array_equal(answer["x"], batch["x"])
    assert plan.log == ["a", "a"]
    assert told == [(1, 1), (14, 4)]
    assert [trace.node_s["a"] for trace in traces] == pytest.approx([1, 2 / 14, 3 / 14, 4 / 14, 5 / 14])
    assert all(trace.queue_s > 0 for trace in traces[1:])


async def test_a_plan_without_nodes_is_timed_as_a_whole(executor: Executor) -> None:
    plan, trace = Plan("merged", []), Trace("r")
    plan.names_nodes = False
    plan.gate.set()
    await executor.submit(slot_of("s", 1, 5), plan, BATCH, 1, None, trace)
    assert list(trace.node_s) == ["merged"]
    assert trace.node_s["merged"] > 0


async def test_a_plan_that_was_dropped_is_let_go(executor: Executor) -> None:
    slot, plan = slot_of("s", 1, 5), Plan("a", [])
    plan.gate.set()
    await ask(executor, slot, plan)
    del plan
    gc.collect()
    assert not slot.batchers


async def test_two_revisions_share_the_bounds_of_their_service() -> None:
    executor = Executor(4)
    slot, old, new = slot_of("s", 1, 2, 1), Plan("old", []), Plan("new", [])
    tasks = [ask(executor, slot, plan) for plan in (old, new, old)]
    await begun(old)
    assert (slot.running, slot.waiting, new.log) == (1, 2, [])
    with pytest.raises(Unavailable, match="2 calls waiting"):
        await ask(executor, slot, old)
    for plan in (old, new):
        plan.gate.set()
    await asyncio.gather(*tasks)
    assert (len(old.log), len(new.log)) == (2, 1)
    executor.close()


async def test_an_error_reaches_its_caller_and_the_next_call_is_answered(executor: Executor) -> None:
    slot, plan = slot_of("s", 1, 5), Plan("a", [])
    plan.gate.set()
    plan.error = Invalid("no such thing")
    with pytest.raises(Invalid, match="no such thing"):
        await ask(executor, slot, plan)
    plan.error = None
    assert await ask(executor, slot, plan) is BATCH
