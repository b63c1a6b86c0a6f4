"""What a node's policy does about a try that is slow or fails; in virtual time, so that every figure is exact."""

import asyncio
from typing import Any

import pytest

from aimass.core.batch import Batch
from aimass.core.errors import Bug, Invalid, Timeout, Unavailable
from aimass.core.policies import Breaker, NodePolicy
from aimass.graph.graph import PROBABILITIES
from aimass.serving.resilience.breaker import BreakerState
from tests.serving.engine.engine_graphs import graph, model, predict, rows
from tests.serving.engine.faulty import (
    BROKEN,
    BUSY,
    FINE,
    GONE,
    LATE,
    REFUSED,
    SHAPE,
    SILENT,
    STOPPED,
    Faulty,
    Made,
    faulty,
)
from tests.serving.virtual_time import VirtualLoop, run

ONE = rows(2)
RIGHT = predict("a")({"0": ONE["x"]})[PROBABILITIES].tobytes()


def _one(loop: VirtualLoop, policy: NodePolicy, *fates: str | tuple[str, float]) -> tuple[Made, Faulty]:
    remotes = faulty("a", *fates)
    return Made(graph(model("a", "x", policy=policy)), loop, remotes), remotes["a"]


async def _right(made: Made, **more: Any) -> None:
    assert (await made.run(ONE, **more))[PROBABILITIES].tobytes() == RIGHT


@pytest.mark.parametrize("fate", [GONE, LATE, STOPPED])
def test_what_failed_in_passing_is_tried_again(fate: str) -> None:
    async def program(loop: VirtualLoop) -> None:
        made, remote = _one(loop, NodePolicy(retries=2), fate, fate, FINE)
        await _right(made)
        assert len(remote.tries) == 3
        assert made.totals() == {("retries", "a", ""): 2}

    run(program)


@pytest.mark.parametrize(
    ("fate", "error"), [(BROKEN, ZeroDivisionError), (SHAPE, Bug), (REFUSED, Invalid), (BUSY, Unavailable)]
)
def test_what_would_fail_again_is_not_tried_again(fate: str, error: type[Exception]) -> None:
    async def program(loop: VirtualLoop) -> None:
        made, remote = _one(loop, NodePolicy(retries=2), fate, FINE)
        with pytest.raises(error):
            await made.run(ONE)
        assert len(remote.tries) == 1

    run(program)


def test_after_the_last_try_its_error_is_the_calls() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, remote = _one(loop, NodePolicy(retries=1), GONE)
        with pytest.raises(Unavailable, match="a replica of 'a' died"):
            await made.run(ONE)
        assert len(remote.tries) == 2
        assert made.totals() == {("retries", "a", ""): 1, ("failures", "a", "unavailable"): 1}

    run(program)


def test_a_try_that_takes_longer_than_the_nodes_deadline_is_given_up() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, remote = _one(loop, NodePolicy(deadline_ms=50, retries=1), SILENT, FINE)
        began = loop.time()
        await _right(made, deadline_s=began + 10)
        assert loop.time() - began == pytest.approx(0.06)
        assert [deadline for _, deadline in remote.tries] == pytest.approx([began + 0.05, began + 0.1])
        assert remote.given_up == 1

    run(program)


def test_the_nodes_deadline_is_named() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, _ = _one(loop, NodePolicy(deadline_ms=50), SILENT)
        with pytest.raises(Timeout, match="node 'a' did not answer within 50 ms, its deadline"):
            await made.run(ONE)

    run(program)


def test_no_try_outlives_the_request() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, remote = _one(loop, NodePolicy(deadline_ms=50, retries=5), SILENT)
        began = loop.time()
        with pytest.raises(Timeout):
            await made.run(ONE, deadline_s=began + 0.12)
        assert loop.time() - began == pytest.approx(0.12)
        assert [deadline for _, deadline in remote.tries] == pytest.approx([began + 0.05, began + 0.1, began + 0.12])
        await asyncio.sleep(0.001)
        assert remote.under_way == 0

    run(program)


def test_a_hedge_that_answers_first_wins_and_the_other_is_given_up() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, remote = _one(loop, NodePolicy(hedge_after_ms=20), SILENT, (FINE, 0.01))
        began = loop.time()
        await _right(made)
        assert loop.time() - began == pytest.approx(0.03)
        await asyncio.sleep(0.001)
        assert (len(remote.tries), remote.given_up, remote.under_way) == (2, 1, 0)
        assert made.totals() == {("hedges", "a", ""): 1}

    run(program)


def test_a_first_try_that_answers_in_time_has_no_hedge() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, remote = _one(loop, NodePolicy(hedge_after_ms=20), (FINE, 0.019))
        await _right(made)
        await asyncio.sleep(1)
        assert len(remote.tries) == 1

    run(program)


def test_a_hedge_that_fails_leaves_the_first_try_its_time() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, remote = _one(loop, NodePolicy(hedge_after_ms=20), (FINE, 0.05), GONE)
        await _right(made)
        assert (len(remote.tries), made.totals()) == (2, {("hedges", "a", ""): 1})

    run(program)


def test_retries_and_hedges_are_paid_from_one_budget() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, remote = _one(loop, NodePolicy(retries=3), (GONE, 0.0))
        failed = await asyncio.gather(*(made.run(ONE) for _ in range(100)), return_exceptions=True)
        assert all(isinstance(error, Unavailable) for error in failed)
        # the floor's first second, and a tenth of a hundred calls, not three for each
        assert 100 + 15 <= len(remote.tries) <= 100 + 20

    run(program)


def test_a_breaker_leaves_a_failing_node_alone_and_tries_it_again() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, remote = _one(loop, NodePolicy(breaker=Breaker(2, 5.0)), GONE, GONE, GONE, FINE)
        breaker = made.plan.counts.breakers["a"]
        for _ in range(2):
            with pytest.raises(Unavailable, match="died"):
                await made.run(ONE)
        with pytest.raises(Unavailable, match=r"node 'a' has failed too often and is left alone for another 5\.0 s"):
            await made.run(ONE)
        assert (len(remote.tries), breaker()) == (2, BreakerState.OPEN)
        assert made.totals() == {("failures", "a", "unavailable"): 2, ("failures", "a", "left_alone"): 1}
        await asyncio.sleep(5)
        assert breaker() is BreakerState.HALF_OPEN
        with pytest.raises(Unavailable, match="died"):
            await made.run(ONE)
        assert breaker() is BreakerState.OPEN
        await asyncio.sleep(5)
        trial = asyncio.ensure_future(made.run(ONE))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="until one trial has ended"):
            await made.run(ONE)
        await trial
        assert breaker() is BreakerState.CLOSED
        await _right(made)

    run(program)


def test_a_breaker_does_not_hear_of_hasty_callers_nor_of_bad_rows() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, _ = _one(loop, NodePolicy(breaker=Breaker(1, 5.0)), SILENT, REFUSED, FINE)
        with pytest.raises(Timeout):
            await made.run(ONE, deadline_s=loop.time() + 0.001)
        with pytest.raises(Invalid):
            await made.run(ONE)
        await _right(made)

    run(program)


def test_a_breaker_does_not_hear_that_a_node_is_busy() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, _ = _one(loop, NodePolicy(breaker=Breaker(1, 5.0)), BUSY, FINE)
        with pytest.raises(Unavailable, match="too many calls waiting"):
            await made.run(ONE)
        await _right(made)

    run(program)


def test_a_node_here_is_not_asked_twice() -> None:
    calls: list[int] = []

    def fails(batch: Batch) -> Batch:
        calls.append(1)
        raise Unavailable("the model was unloaded")

    async def program(loop: VirtualLoop) -> None:
        made = Made(graph(model("a", "x", policy=NodePolicy(retries=3, breaker=Breaker(1, 5.0)))), loop, {})
        made.calls["a"] = fails
        with pytest.raises(Unavailable, match="unloaded"):
            await made.run(ONE)
        with pytest.raises(Unavailable, match="left alone"):
            await made.run(ONE)

    run(program)
    assert len(calls) == 1


def test_a_breaker_hears_of_the_nodes_own_deadline() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, _ = _one(loop, NodePolicy(deadline_ms=10, breaker=Breaker(1, 5.0)), SILENT)
        with pytest.raises(Timeout):
            await made.run(ONE, deadline_s=loop.time() + 1)
        assert made.plan.counts.breakers["a"]() is BreakerState.OPEN

    run(program)


def test_a_trial_that_its_caller_gave_up_does_not_keep_the_next_out() -> None:
    async def program(loop: VirtualLoop) -> None:
        made, _ = _one(loop, NodePolicy(breaker=Breaker(1, 5.0)), GONE, SILENT, FINE)
        with pytest.raises(Unavailable):
            await made.run(ONE)
        await asyncio.sleep(5)
        trial, _ = made.start(ONE)
        await asyncio.sleep(0.01)
        trial.cancel()
        await asyncio.sleep(0.01)
        await _right(made)

    run(program)


def test_a_node_here_has_its_policy_too() -> None:
    async def program(loop: VirtualLoop) -> None:
        made = Made(graph(model("a", "x", policy=NodePolicy(deadline_ms=5, retries=1, breaker=Breaker()))), loop, {})
        await _right(made)

    run(program)
