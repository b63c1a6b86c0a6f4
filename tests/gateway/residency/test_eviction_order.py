"""Who goes, held to a plain definition; and a whole replica under random use, held to a list."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.gateway.residency.order import Resident, to_let_go
from tests.gateway.residency.residency_kit import UNIT, Place

BOUND = 5
NAMES = "abcdef"
sizes = st.integers(1, 3)
residents = st.lists(
    st.builds(Resident, st.tuples(st.text("ab", max_size=3), st.integers(1, 3)), sizes, st.floats(0, 3), st.booleans()),
    max_size=8,
    unique_by=lambda one: one.name,
)


@given(residents, st.integers(0, 12))
def test_it_is_the_shortest_run_of_the_oldest_that_may_go(there: list[Resident], bound: int) -> None:
    oldest = sorted((one for one in there if not one.stays), key=lambda one: (one.used_s, one.name))
    going = to_let_go(there, bound)
    assert going == [one.name for one in oldest][: len(going)]

    def left(count: int) -> int:
        return sum(one.size_bytes for one in there) - sum(one.size_bytes for one in oldest[:count])

    assert left(len(going)) <= bound or len(going) == len(oldest)
    assert not going or left(len(going) - 1) > bound


class Reference:
    """Sizes by name, the least recently used first."""

    def __init__(self) -> None:
        self.there: dict[str, int] = {}
        self.pinned: set[str] = set()

    def use(self, name: str, size: int) -> None:
        self.there.pop(name, None)
        self.there[name] = size
        for other in list(self.there):
            if sum(self.there.values()) > BOUND and other not in self.pinned | {name}:
                del self.there[other]


steps = st.lists(st.sampled_from(NAMES), max_size=25)
plans = st.fixed_dictionaries({name: st.tuples(sizes, st.just(False)) for name in NAMES[1:]})


@settings(max_examples=60)
@given(plans, st.none() | st.integers(1, 2), steps)
def test_a_replica_holds_what_a_list_says(plans: dict[str, Any], pinned: int | None, steps: list[str]) -> None:
    plans["a"] = (pinned or 1, pinned is not None)

    async def use() -> None:
        with tempfile.TemporaryDirectory() as folder:
            place, reference = Place(Path(folder), BOUND), Reference()
            for name, (size, is_pinned) in sorted(plans.items()):
                reference.pinned |= {name} if is_pinned else set()
                await place.deploy(name, size, is_pinned)
                reference.use(name, size)
                assert place.resident == reference.there.keys()
            for name in steps:
                assert await place.status(name) == 200
                reference.use(name, plans[name][0])
                assert place.resident == reference.there.keys()
                assert place.residency.total_bytes <= BOUND * UNIT
            place.close()

    asyncio.run(use())


@settings(max_examples=30)
@given(st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=12), max_size=6), st.booleans())
def test_calls_beside_each_other_are_all_answered_within_the_bound(rounds: list[list[str]], is_long: bool) -> None:
    async def use() -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = Place(Path(folder), 2)
            place.long = set(NAMES) if is_long else set()
            for name in NAMES:
                await place.deploy(name)
            for names in rounds:
                calls = [place.call(name) for name in names]
                assert {(await call).head.status for call in calls} == {200}
                place.loading.retry(place.state)
                assert place.residency.total_bytes <= 2 * UNIT
            place.close()

    asyncio.run(use())
