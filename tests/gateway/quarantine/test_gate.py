"""The gate: how much of a processor a service in quarantine gets, and how its refusals leave."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.clock import ManualClock
from aimass.core.errors import Unavailable
from aimass.gateway.quarantine.gate import LONGEST_S, REFUSALS_PER_S, SHARE, Gate
from aimass.gateway.quarantine.judge import Term
from aimass.serving.batching.rules import Rules
from aimass.serving.executor import Slot


class Held:
    """A service in quarantine whose calls take so long as a test says."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.spent_s = 0.0
        self.slot = Slot("hog", Rules())
        term = Term(self.clock.monotonic(), 60.0, "it used 1.5 processors while its neighbours suffered")
        self.gate = Gate(("hog", 3), term, lambda: self.spent_s, self.clock)

    async def call(self, seconds: float) -> bool:
        try:
            async with self.gate.turn(self.slot, self.clock.monotonic()):
                self.clock.advance(seconds)
                self.spent_s += seconds
        except Unavailable as error:
            self.refusal = error
            return False
        return True


async def test_after_a_call_it_rests_until_its_share_makes_up_for_it() -> None:
    held = Held()
    assert await held.call(0.3)
    assert not await held.call(0.3)
    assert held.refusal.retry_after_s == pytest.approx(0.3 / SHARE)
    assert str(held.refusal).startswith("service 'hog' revision 3 is in quarantine until ")
    assert "its neighbours suffered" in str(held.refusal)
    held.clock.advance(0.3 / SHARE - 0.5)
    assert not await held.call(0.3)
    held.clock.advance(0.5)
    assert await held.call(0.3)


async def test_one_call_at_a_time_also_where_one_that_nobody_waits_for_still_runs() -> None:
    held = Held()
    async with held.gate.turn(held.slot, None):
        assert not await held.call(0.0)
    held.slot.running = 1
    assert not await held.call(0.0)
    held.slot.running = 0
    assert await held.call(0.0)


@given(st.lists(st.tuples(st.floats(0.001, 2.0), st.floats(0.0, 5.0)), max_size=50))
def test_it_never_gets_more_than_its_share_and_one_call(calls: list[tuple[float, float]]) -> None:
    async def run() -> None:
        held = Held()
        began = held.clock.monotonic()
        for seconds, rest_s in calls:
            before = held.spent_s
            if await held.call(seconds):
                assert before <= SHARE * (held.clock.monotonic() - seconds - began) + 1e-3
            held.clock.advance(rest_s)

    asyncio.run(run())


async def test_refusals_leave_at_once_until_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    rests: list[float] = []

    async def sleep(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert await held.call(1.0)
    for _ in range(int(REFUSALS_PER_S)):
        with pytest.raises(Unavailable):
            async with held.gate.turn(held.slot, None):
                pass
    assert rests == []
    for _ in range(100):
        with pytest.raises(Unavailable):
            async with held.gate.turn(held.slot, None):
                pass
    assert rests == pytest.approx([index / REFUSALS_PER_S for index in range(1, 101)])
    assert not await held.call(0.0), "one with a deadline is not held beyond it"
    assert len(rests) == 100


async def test_a_flood_of_refusals_is_forgotten_when_the_last_of_them_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    rests: list[float] = []

    async def sleep(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    held.slot.running = 1
    for _ in range(int(3 * LONGEST_S * REFUSALS_PER_S)):
        with pytest.raises(Unavailable):
            async with held.gate.turn(held.slot, None):
                pass
    assert max(rests) == pytest.approx(LONGEST_S)
    rests.clear()
    held.clock.advance(LONGEST_S + 1.0)
    with pytest.raises(Unavailable):
        async with held.gate.turn(held.slot, None):
            pass
    assert rests == []


async def test_no_more_refusals_wait_than_calls_may(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    go = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await go.wait()

    held.slot.running, held.slot.rules.max_queue = 1, 2
    for _ in range(int(REFUSALS_PER_S)):
        assert not await held.call(0.0)
    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def refused() -> None:
        with pytest.raises(Unavailable):
            async with held.gate.turn(held.slot, None):
                pass

    waiting = [asyncio.create_task(refused()) for _ in range(2)]
    await asyncio.create_task(refused())  # begun after them, ended before
    assert not any(task.done() for task in waiting)
    go.set()
    await asyncio.gather(*waiting)
