"""Rows of several callers in one call, in virtual time: who leaves when, and whose answer is whose."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.core.errors import Bug, Invalid, Timeout, Unavailable
from aimass.serving.batching.batcher import Batcher, Done
from aimass.serving.batching.rules import Rules
from aimass.serving.batching.waiting import Trip
from tests.serving.batching.batching_kit import Answer, Asked, submit, tell
from tests.serving.virtual_time import VirtualLoop, run

CALL_S = 0.020
"""Who waits behind such a call leaves after 22 ms: two more for the caller who has just been answered."""


class Model:
    """Doubles x after a fixed time; notes the rows of every call and when it began. A row of -1 fails its call."""

    def __init__(self, loop: VirtualLoop, seconds: float | Callable[[int], float] = CALL_S) -> None:
        self.loop = loop
        self.seconds = seconds
        self.calls: list[tuple[float, int]] = []
        self.error: Exception = Invalid("a row of -1")
        self.can_stop = True
        self.tasks: list[asyncio.Task[Batch]] = []

    def __call__(self, trip: Trip, done: Done) -> None:
        self.calls.append((round(self.loop.time() - 1000, 6), trip.rows))
        task = asyncio.ensure_future(self._answer(trip))
        task.add_done_callback(lambda _: tell(task, done))
        if self.can_stop:
            trip.abandon = task.cancel
        self.tasks.append(task)

    async def _answer(self, trip: Trip) -> Batch:
        await asyncio.sleep(self.seconds if isinstance(self.seconds, float) else self.seconds(trip.rows))
        if (trip.batch["x"] == -1).any():
            raise self.error
        trip.node_s["double"] = 1.0
        return {"y": trip.batch["x"] * 2}


def rows(*values: float) -> Batch:
    return {"x": np.array(values, np.float32)}


def ask(batcher: Batcher, *values: float, deadline_s: float | None = None) -> Asked:
    return submit(batcher, rows(*values), len(values), deadline_s)


def test_a_lone_request_leaves_at_once_and_those_behind_it_leave_together() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        batcher = Batcher("m", model, Rules(), loop)
        first = ask(batcher, 1)
        assert model.calls == [(0.0, 1)]
        others = [ask(batcher, value, value) for value in range(2, 6)]
        answers = await asyncio.gather(first, *others)
        assert model.calls == [(0.0, 1), (0.022, 8)]
        assert [answer.outputs["y"].tolist() for answer in answers] == [[2], *[[2 * n, 2 * n] for n in range(2, 6)]]
        assert [round(answer.waited_s, 6) for answer in answers] == [0, 0.022, 0.022, 0.022, 0.022]
        assert [answer.node_s for answer in answers] == [{"double": 1.0}, *[{"double": 0.25}] * 4]
        assert sum(answer.run_s for answer in answers) == pytest.approx(2 * CALL_S)

    run(program)


def test_lone_requests_one_after_another_never_wait() -> None:
    async def program(loop: VirtualLoop) -> None:
        batcher = Batcher("m", Model(loop), Rules(), loop)
        for _ in range(5):
            assert (await ask(batcher, 1)).waited_s == 0

    run(program)


def test_with_room_for_a_second_call_the_oldest_waits_no_longer_than_its_budget() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        batcher = Batcher("m", model, Rules(width=2, max_wait_s=0.005), loop)
        asked = [ask(batcher, 1)]
        for _ in range(3):
            await asyncio.sleep(0.002)
            asked.append(ask(batcher, 1))
        await asyncio.gather(*asked)
        assert model.calls == [(0.0, 1), (0.007, 3)]

    run(program)


def test_a_call_that_is_on_its_way_back_is_waited_for_and_one_that_is_late_is_not() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        batcher = Batcher("m", model, Rules(width=2, patience=1.5), loop, cost=lambda count: CALL_S)
        await asyncio.gather(*[ask(batcher, 1) for _ in range(4)])
        model.seconds = 0.1
        await asyncio.gather(*[ask(batcher, 1) for _ in range(4)])
        assert model.calls == [(0.0, 1), (0.022, 3), (0.042, 3), (0.072, 1)], "the last waited for 1.5 times 20 ms"

    run(program)


def test_a_full_call_does_not_wait_where_there_is_room_and_does_where_there_is_none() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        batcher = Batcher("m", model, Rules(width=2, max_rows=4, max_wait_s=1), loop)
        await asyncio.gather(*[ask(batcher, 1) for _ in range(11)])
        assert model.calls == [(0.0, 1), (0.0, 4), (0.02, 4), (0.042, 2)]

    run(program)


def test_two_lanes_keep_two_replicas_busy() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        batcher = Batcher("m", model, Rules(lanes=2, width=2), loop)
        await asyncio.gather(*[ask(batcher, 1) for _ in range(6)])
        assert model.calls == [(0.0, 1), (0.0, 1), (0.022, 4)]

    run(program)


def test_a_request_larger_than_a_call_travels_alone() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        batcher = Batcher("m", model, Rules(max_rows=4), loop)
        await asyncio.gather(ask(batcher, 1), ask(batcher, 2), ask(batcher, *range(6)), ask(batcher, 3))
        assert [count for _, count in model.calls] == [1, 1, 6, 1]

    run(program)


def test_callers_that_are_on_their_way_back_are_waited_for() -> None:
    """Sixteen that ask again 0.5 ms after each answer: after the first call all of them travel together."""

    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        batcher = Batcher("m", model, Rules(), loop)

        async def caller() -> None:
            for _ in range(5):
                await ask(batcher, 1)
                await asyncio.sleep(0.0005)

        await asyncio.gather(*[caller() for _ in range(16)])
        assert [count for _, count in model.calls] == [1, 16, 16, 16, 16, 15]

    run(program)


def test_the_wait_for_company_begins_when_the_answers_have_been_written() -> None:
    """To write sixteen answers takes 4.8 ms here, longer than the 2 ms that company is waited for."""

    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        batcher = Batcher("m", model, Rules(), loop)

        async def caller() -> None:
            for _ in range(5):
                await ask(batcher, 1)
                loop.work(0.0003)
                await asyncio.sleep(0.0005)

        await asyncio.gather(*[caller() for _ in range(16)])
        assert [count for _, count in model.calls] == [1, 16, 16, 16, 16, 15]

    run(program)


def test_company_that_does_not_come_is_waited_for_once_and_briefly() -> None:
    async def program(loop: VirtualLoop) -> None:
        batcher = Batcher("m", Model(loop), Rules(), loop)
        await asyncio.gather(*[ask(batcher, 1) for _ in range(9)])
        waited = [(await ask(batcher, 1)).waited_s for _ in range(3)]
        assert waited == pytest.approx([0.002, 0, 0])

    run(program)


def test_other_shapes_travel_by_themselves() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        batcher = Batcher("m", model, Rules(), loop)
        wide = [submit(batcher, {"x": np.full((1, size), size, np.float32)}, 1) for size in (1, 3, 2, 3, 2)]
        answers = await asyncio.gather(*wide)
        assert [count for _, count in model.calls] == [1, 2, 2]
        assert [answer.outputs["y"].tolist() for answer in answers] == [[[2 * n] * n] for n in (1, 3, 2, 3, 2)]

    run(program)


def test_a_bad_row_fails_its_own_request_only() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        batcher = Batcher("m", model, Rules(), loop)
        first = ask(batcher, 0)
        asked = [ask(batcher, value) for value in (1, 2, -1, 4, 5, 6, 7, 8)]
        answers = await asyncio.gather(first, *asked, return_exceptions=True)
        good = [answer.outputs["y"].tolist() for answer in answers if isinstance(answer, Answer)]
        assert good == [[0], [2], [4], [8], [10], [12], [14], [16]]
        assert isinstance(answers[3], Invalid)
        assert [count for _, count in model.calls] == [1, 8, 4, 2, 2, 1, 1, 4]
        assert (batcher.out, batcher.waiting) == (0, 0)

    run(program)


def test_a_call_that_nobody_could_answer_is_not_tried_again() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        model.error = Unavailable("its replica has died")
        batcher = Batcher("m", model, Rules(), loop)
        asked = [ask(batcher, 0), ask(batcher, -1), ask(batcher, 1)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Answer, Unavailable, Unavailable]
        assert len(model.calls) == 2

    run(program)


def test_outputs_with_other_rows_than_were_asked_for_are_nobodys() -> None:
    async def program(loop: VirtualLoop) -> None:
        def short(trip: Trip, done: Done) -> None:
            loop.call_later(CALL_S, done, {"y": np.zeros((max(1, trip.rows - 1), 2))}, None)

        batcher = Batcher("m", short, Rules(), loop)
        answers = await asyncio.gather(ask(batcher, 1), ask(batcher, 2), ask(batcher, 3, 4), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Answer, Answer, Bug]
        assert "'y' of shape [1, 2] for 2 rows" in str(answers[2])

    run(program)


def test_a_deadline_that_passes_while_it_waits_or_runs() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        model.can_stop = False
        batcher = Batcher("the thing", model, Rules(), loop)
        running = ask(batcher, 1, deadline_s=loop.time() + 0.010)
        waiting = ask(batcher, 2, deadline_s=loop.time() + 0.015)
        late = ask(batcher, 3)
        with pytest.raises(Timeout, match="before an answer of the thing"):
            await running
        assert loop.time() == pytest.approx(1000.010)
        with pytest.raises(Timeout, match="in the queue of the thing"):
            await waiting
        assert loop.time() == pytest.approx(1000.015)
        assert (await late).outputs["y"].tolist() == [6]
        assert model.calls == [(0.0, 1), (0.02, 1)]
        with pytest.raises(Timeout, match="could run it"):
            ask(batcher, 1, deadline_s=loop.time())

    run(program)


def test_rows_that_were_taken_back_never_run() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        batcher = Batcher("m", model, Rules(), loop)
        first, second, third = ask(batcher, 1), ask(batcher, 2), ask(batcher, 3)
        second.cancel()
        await asyncio.gather(first, third)
        assert model.calls == [(0.0, 1), (0.022, 1)]
        await asyncio.sleep(0)
        assert batcher.waiting == 0

    run(program)


def test_a_call_that_nobody_waits_for_is_let_go() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop, 60.0)
        tasks = model.tasks
        batcher = Batcher("m", model, Rules(), loop)
        first, second, third = (ask(batcher, value, deadline_s=loop.time() + 1) for value in (1, 2, 3))
        with pytest.raises(Timeout):
            await first
        await asyncio.sleep(0.001)
        assert tasks[0].cancelled()
        assert len(tasks) == 1, "the others' deadline has passed as well"
        for late in (second, third):
            with pytest.raises(Timeout):
                await late
        again = [ask(batcher, 4), ask(batcher, 5)]
        again[0].cancel()
        await asyncio.sleep(0.001)
        assert tasks[1].cancelled()
        again[1].cancel()

    run(program)


def test_a_full_queue_and_a_hopeless_deadline_are_refused_at_once() -> None:
    async def program(loop: VirtualLoop) -> None:
        batcher = Batcher("the thing", Model(loop), Rules(max_rows=2, max_queue=6), loop)
        await ask(batcher, 1)
        asked = [ask(batcher, 1) for _ in range(7)]
        assert batcher.predict_wait_s(loop.time()) == pytest.approx(0.080)
        with pytest.raises(Unavailable, match="the thing has 6 calls waiting, its limit") as caught:
            ask(batcher, 1)
        assert caught.value.retry_after_s == 1.0
        batcher.rules.max_queue = 100
        with pytest.raises(Unavailable, match="an answer would take some 100 ms, and this call has 90 left"):
            ask(batcher, 1, deadline_s=loop.time() + 0.090)
        asked.append(ask(batcher, 1, deadline_s=loop.time() + 0.130))
        await asyncio.gather(*asked)
        assert loop.time() == pytest.approx(1000.122)  # the last call had waited for company

    run(program)


def test_who_cannot_be_in_time_any_more_gives_way_to_who_can() -> None:
    async def program(loop: VirtualLoop) -> None:
        model = Model(loop)
        batcher = Batcher("the thing", model, Rules(max_rows=1), loop)
        await ask(batcher, 0)
        model.seconds = 0.030  # slower than predicted, so that the second is behind its deadline
        first, second, third = (
            ask(batcher, n, deadline_s=loop.time() + s) for n, s in ((1, 0.05), (2, 0.049), (3, 0.09))
        )
        with pytest.raises(Timeout, match="too busy to answer before"):
            await second
        model.seconds = 0.010
        assert [(await one).outputs["y"].tolist() for one in (first, third)] == [[2], [6]]
        assert len(model.calls) == 3

    run(program)


def test_rows_that_cost_what_they_cost_alone_are_not_made_to_wait_for_each_other() -> None:
    """5 ms a row and nothing beside: one after another, so that the first has its answer after 5 ms, not 40."""

    async def program(loop: VirtualLoop) -> None:
        model = Model(loop, lambda count: 0.005 * count)
        batcher = Batcher("m", model, Rules(), loop, cost=lambda count: 0.005 * count)
        await asyncio.gather(*[ask(batcher, 1) for _ in range(8)])
        assert [count for _, count in model.calls] == [1] * 8

    run(program)


def test_what_leaves_is_told() -> None:
    async def program(loop: VirtualLoop) -> None:
        told: list[tuple[int, list[float]]] = []
        batcher = Batcher("m", Model(loop), Rules(), loop)
        batcher.observe = lambda count, waits: told.append((count, [round(wait, 6) for wait in waits]))
        await asyncio.gather(ask(batcher, 1, 1), ask(batcher, 2), ask(batcher, 3, 3, 3))
        assert told == [(2, [0.0]), (4, [0.022, 0.022])]

    run(program)
