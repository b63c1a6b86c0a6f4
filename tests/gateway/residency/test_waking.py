"""Plans that were let go for want of memory: who goes, who stays, and what a call that wakes one meets."""

import asyncio
from collections.abc import Callable

import numpy as np
import orjson

from aimass.testing.gateway import ROWS, scores
from tests.gateway.residency.residency_kit import UNIT, Place
from tests.waiting import until

Make = Callable[[int], Place]


async def test_the_least_recently_used_goes_and_a_call_brings_it_back_with_the_same_answer(make_place: Make) -> None:
    place = make_place(2)
    for name in "abc":
        await place.deploy(name)
    assert place.resident == {"b", "c"}
    assert (place.loading.asleep, len(place.loading.ready)) == ((("a", 1),), 3)
    assert await place.status("b") == 200
    reply = await place.call("a")
    outputs = {item["name"]: item["data"] for item in orjson.loads(reply.body)["outputs"]}
    np.testing.assert_allclose(outputs["scores"], scores(ROWS).ravel(), rtol=1e-6)
    assert place.resident == {"a", "b"}, "c was used last of all when it was loaded, b since"
    assert place.residency.total_bytes <= 2 * UNIT
    assert place.loads == {"a": 2, "b": 1, "c": 1}


async def test_what_is_let_go_is_closed_and_not_measured_again(make_place: Make) -> None:
    place = make_place(1)
    await place.deploy("a")
    first = place.models["a"]
    await place.deploy("b")
    assert await asyncio.to_thread(first.closed.wait, 20)
    assert await place.status("a") == 200
    assert (place.models["a"] is first, place.models["a"].closed.is_set()) == (False, False)
    assert first.calls > place.models["a"].calls == 1


async def test_a_pinned_plan_stays_whoever_comes_and_one_that_never_fits_is_refused_with_the_figures(
    make_place: Make,
) -> None:
    place = make_place(2)
    await place.deploy("a", pinned=True)
    for name in "bcd":
        await place.deploy(name)
        assert place.resident == {"a", name}
    await place.deploy("e", size=2)
    reason = place.loading.failed["e/1"]
    assert "needs 128.0 MiB" in reason
    assert "beside a/1, pinned, with 64.0 MiB" in reason
    assert "AIMASS_GATEWAY_MEMORY_BYTES allows 128.0 MiB" in reason
    assert ("e", 1) not in place.loading.ready
    await place.deploy("f", pinned=True)
    assert place.resident == {"a", "f"}
    await place.deploy("g", pinned=True)
    assert "beside a/1, f/1, pinned" in place.loading.failed["g/1"]


async def test_a_pin_that_comes_later_brings_the_plan_back_by_itself(make_place: Make) -> None:
    place = make_place(1)
    await place.deploy("a")
    await place.deploy("b")
    await place.deploy("a", pinned=True)
    assert place.resident == {"a"}


async def test_a_plan_that_a_call_uses_is_never_let_go(make_place: Make) -> None:
    place = make_place(1)
    await place.deploy("a")
    place.long.add("b")
    await place.deploy("b")
    place.may_run.clear()
    running = place.call("b")
    await asyncio.sleep(0)
    place.long.add("a")
    other = place.call("a")
    await until(lambda: place.loads["a"] == 2)
    assert "b" in place.resident
    place.may_run.set()
    assert ((await running).head.status, (await other).head.status) == (200, 200)
    place.loading.retry(place.state)
    assert len(place.resident) == 1, "what was over the bound goes when it is in use no longer"


async def test_a_call_whose_plan_goes_before_its_round_ends_wakes_it(make_place: Make) -> None:
    place = make_place(1)
    await place.deploy("a")
    held = [place.call("a"), place.call("a")]
    place.residency.bound_bytes = 0
    place.loading.retry(place.state)
    assert place.resident == set()
    place.residency.bound_bytes = UNIT
    assert [(await call).head.status for call in held] == [200, 200]
    assert place.loads["a"] == 2


async def test_calls_that_come_together_share_one_load(make_place: Make) -> None:
    place = make_place(1)
    await place.deploy("a")
    await place.deploy("b")
    place.may_load.clear()
    calls = [place.call("a") for _ in range(20)]
    await asyncio.sleep(0)
    place.may_load.set()
    assert {(await call).head.status for call in calls} == {200}
    assert place.loads["a"] == 2


async def test_a_deadline_ends_the_wait_and_the_load_goes_on(make_place: Make) -> None:
    place = make_place(1)
    await place.deploy("a", deadline_ms=3_030)  # the clock has gone on by a second for each of two later calls
    await place.deploy("b")
    place.may_load.clear()
    late = await place.call("a")
    assert (late.head.status, b"being loaded again" in late.body) == (504, True)
    place.may_load.set()
    await until(lambda: "a" in place.resident)
    assert await place.status("a") == 200
    assert place.loads["a"] == 2


async def test_no_more_calls_wait_than_the_service_allows(make_place: Make) -> None:
    place = make_place(1)
    await place.deploy("a", max_queue=2)
    await place.deploy("b")
    place.may_load.clear()
    waiting = [place.call("a"), place.call("a")]
    await asyncio.sleep(0.01)
    refused = await place.call("a")
    assert (refused.head.status, b"2 calls wait" in refused.body) == (503, True)
    place.may_load.set()
    assert [(await call).head.status for call in waiting] == [200, 200]


async def test_a_load_that_fails_says_why_to_callers_and_owner_and_is_tried_again(make_place: Make) -> None:
    place = make_place(1)
    await place.deploy("a")
    await place.deploy("b")
    place.broken["a"] = "artifact 00 is gone"
    refused = await place.call("a")
    assert (refused.head.status, b"cannot be loaded again: artifact 00 is gone" in refused.body) == (503, True)
    assert place.loading.failed == {"a/1": "artifact 00 is gone"}
    assert place.loading.ready == (("b", 1),)
    assert await place.status("b") == 200
    del place.broken["a"]
    place.clock.advance(100)
    assert await place.status("a") == 200
    assert place.loading.failed == {}


async def test_a_new_state_tries_what_failed_at_once(make_place: Make) -> None:
    place = make_place(1)
    await place.deploy("a")
    await place.deploy("b")
    place.broken["a"] = "artifact 00 is gone"
    assert await place.status("a") == 503
    await place.take(place.state.services)
    assert place.loading.failed == {"a/1": "artifact 00 is gone"}
    del place.broken["a"]
    await place.take(place.state.services)
    assert place.loading.failed == {}
    assert ("a", 1) in place.loading.ready


async def test_a_deploy_does_not_wait_for_the_loads_of_calls(make_place: Make) -> None:
    place = make_place(1)
    await place.deploy("a")
    await place.deploy("b")
    place.may_load.clear()
    waiting = place.call("a")
    await asyncio.sleep(0)
    await asyncio.wait_for(place.deploy("c"), 20)
    assert ("c", 1) in place.loading.ready
    place.may_load.set()
    assert (await waiting).head.status == 200


async def test_what_no_state_names_is_forgotten_asleep_or_not(make_place: Make) -> None:
    place = make_place(1)
    await place.deploy("a")
    await place.deploy("b")
    await place.take(())
    assert (place.loading.plans, place.residency.total_bytes) == ({}, 0)


async def test_it_is_counted(make_place: Make) -> None:
    place = make_place(1)
    await place.deploy("a")
    await place.deploy("b")
    await place.status("a")
    shot = place.gateway.metrics.snapshot()
    assert shot.resident == {("a", "1"): 1}
    assert shot.resident_bytes[("a", "1")] >= UNIT
    assert shot.evictions == {("a", "1"): 1, ("b", "1"): 1}
    assert sum(shot.cold_loads[("a", "1")][:-1]) == 1
    assert sum(shot.cold_loads[("b", "1")][:-1]) == 0


async def test_what_a_library_brings_with_it_does_not_count_as_the_first_plans(make_place: Make) -> None:
    place = make_place(20)
    place.library_bytes = 5 * UNIT
    await place.deploy("a")
    await place.deploy("b", size=2)
    assert place.residency.total_bytes == 3 * UNIT
    assert place.loads == {"a": 2, "b": 1}
