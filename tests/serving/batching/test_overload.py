"""More than can be done, in virtual time: what is refused is refused at once, and what is done is still in time."""

import asyncio
from dataclasses import dataclass

import numpy as np
import pytest

from aimass.core.errors import Timeout, Unavailable
from aimass.serving.batching.batcher import Batcher, Done
from aimass.serving.batching.rules import Rules
from aimass.serving.batching.waiting import Trip
from tests.serving.virtual_time import VirtualLoop, run

CALL_S = 0.020
ROWS = 8
SATURATION_PER_S = ROWS / CALL_S
SECONDS = 5


@dataclass
class Outcome:
    good: int = 0
    late: int = 0
    wasted: int = 0  # ran, and were late all the same
    refused: int = 0
    refused_after_s: float = 0.0  # the longest that somebody who was refused had waited

    @property
    def all(self) -> int:
        return self.good + self.late + self.refused


def offer(load: float, deadline_s: float, jitter: float) -> Outcome:
    """``load`` times what saturates it, arriving at random for some seconds, whatever becomes of it: an open loop."""

    async def program(loop: VirtualLoop) -> Outcome:
        outcome, random = Outcome(), np.random.default_rng(1)

        def model(trip: Trip, done: Done) -> None:
            seconds = CALL_S * (1 + jitter * random.uniform(-1, 1))
            loop.call_later(seconds, done, {"y": trip.batch["x"]}, None)

        batcher = Batcher("it", model, Rules(max_rows=ROWS, max_queue=10_000), loop)

        async def call() -> None:
            began = loop.time()
            try:
                await batcher.submit({"x": np.zeros((1, 1))}, 1, began + deadline_s).answer
                outcome.good += 1
            except Timeout as error:
                outcome.late += 1
                outcome.wasted += "before an answer" in str(error)
            except Unavailable:
                outcome.refused += 1
                outcome.refused_after_s = max(outcome.refused_after_s, loop.time() - began)

        calls = []
        while loop.time() < 1000 + SECONDS:
            calls.append(asyncio.ensure_future(call()))
            await asyncio.sleep(random.exponential(1 / (load * SATURATION_PER_S)))
        await asyncio.gather(*calls)
        return outcome

    return run(program)


@pytest.mark.parametrize("jitter", [0.0, 0.5])
@pytest.mark.parametrize("deadline_s", [0.060, 0.200, 1.0])
def test_twice_the_saturation_costs_less_than_a_tenth_of_what_gets_done(deadline_s: float, jitter: float) -> None:
    outcomes = {load: offer(load, deadline_s, jitter) for load in (0.5, 1.0, 2.0)}
    peak = max(outcome.good for outcome in outcomes.values())
    assert outcomes[0.5].good > 0.98 * outcomes[0.5].all, "there is room"
    assert peak > 0.75 * SECONDS * SATURATION_PER_S
    assert outcomes[2.0].good > 0.9 * peak, outcomes
    assert outcomes[2.0].refused_after_s == 0
    for load, outcome in outcomes.items():
        assert outcome.wasted <= 0.1 * outcome.good, f"at {load}: work done for nobody"
