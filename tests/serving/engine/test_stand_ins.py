"""A fallback runs only when its node fails, gives what the node would have given, and is named."""

import asyncio

import pytest

from aimass.core.errors import Unavailable
from aimass.core.policies import Breaker, NodePolicy
from aimass.graph.graph import MEMBER, PROBABILITIES
from tests.serving.engine.engine_graphs import cascade, combine, graph, model, predict, rows
from tests.serving.engine.faulty import FINE, GONE, SILENT, Made, faulty
from tests.serving.virtual_time import VirtualLoop, run

BATCH = rows(4)


def _of(name: str) -> bytes:
    return predict(name)({"0": BATCH["x"]})[PROBABILITIES].tobytes()


def test_it_runs_when_the_node_fails_only() -> None:
    found = graph(model("b", "x"), model("a", "x", policy=NodePolicy(fallback="b")))

    async def program(loop: VirtualLoop, fate: str) -> None:
        made = Made(found, loop, faulty("a", fate) | faulty("b"))
        answer, call = made.start(BATCH)
        given = (await answer)[PROBABILITIES].tobytes()
        if fate == FINE:
            assert (given, call.missing, made.remotes["b"].tries) == (_of("a"), [], [])
            assert made.totals() == {}
        else:
            assert (given, call.missing) == (_of("b"), ["a"])
            assert made.totals() == {("failures", "a", "unavailable"): 1, ("fallbacks", "a", ""): 1}

    run(lambda loop: program(loop, FINE))
    run(lambda loop: program(loop, GONE))


def test_it_stands_in_while_the_breaker_leaves_the_node_alone() -> None:
    policy = NodePolicy(fallback="b", breaker=Breaker(1, 5.0))

    async def program(loop: VirtualLoop) -> None:
        made = Made(graph(model("b", "x"), model("a", "x", policy=policy)), loop, faulty("a", GONE))
        for _ in range(5):
            assert (await made.run(BATCH))[PROBABILITIES].tobytes() == _of("b")
        assert len(made.remotes["a"].tries) == 1

    run(program)


def test_one_that_others_need_too_is_waited_for() -> None:
    found = graph(model("b", "x"), model("a", "x", policy=NodePolicy(fallback="b")), combine("c", "a", "b"))

    async def program(loop: VirtualLoop) -> None:
        made = Made(found, loop, faulty("a", (GONE, 0.01)) | faulty("b", (FINE, 0.05)))
        assert (await made.run(BATCH))[PROBABILITIES].tobytes() == _of("b")
        assert len(made.remotes["b"].tries) == 1

    run(program)


def test_it_has_a_stand_in_of_its_own() -> None:
    second = model("b", "x", policy=NodePolicy(fallback="c"))
    found = graph(model("c", "x"), second, model("a", "x", policy=NodePolicy(fallback="b")))

    async def program(loop: VirtualLoop) -> None:
        made = Made(found, loop, faulty("a", GONE) | faulty("b", GONE))
        answer, call = made.start(BATCH)
        assert ((await answer)[PROBABILITIES].tobytes(), call.missing) == (_of("c"), ["b", "a"])

    run(program)


def test_it_replaces_what_lacks_its_inputs() -> None:
    found = graph(
        model("p", "x"),
        model("b", "x"),
        model("a", "p", policy=NodePolicy(fallback="b")),
        combine("c", "p", "a", quorum=1),
    )

    async def program(loop: VirtualLoop) -> None:
        made = Made(found, loop, faulty("p", GONE))
        answer, call = made.start(BATCH)
        assert ((await answer)[PROBABILITIES].tobytes(), call.missing) == (_of("b"), ["p", "a"])

    run(program)


def test_when_it_fails_too_the_nodes_own_error_is_told() -> None:
    found = graph(model("b", "x"), model("a", "x", policy=NodePolicy(fallback="b")))

    async def program(loop: VirtualLoop) -> None:
        made = Made(found, loop, faulty("a", GONE) | faulty("b", GONE))
        with pytest.raises(Unavailable, match="a replica of 'a' died"):
            await made.run(BATCH)

    run(program)


def test_when_it_fails_too_a_node_that_is_not_required_is_done_without() -> None:
    nodes = [model("y", "x"), model("b", "x"), model("a", "x", policy=NodePolicy(fallback="b"))]

    async def program(loop: VirtualLoop) -> None:
        made = Made(graph(*nodes, combine("c", "a", "y", quorum=1)), loop, faulty("a", GONE) | faulty("b", GONE))
        answer, call = made.start(BATCH)
        assert ((await answer)[PROBABILITIES].tobytes(), call.missing) == (_of("y"), ["b", "a"])

    run(program)


def test_the_unsure_rows_of_a_cascade_can_fall_back_on_its_first_member() -> None:
    big = model("big", "x", policy=NodePolicy(fallback="small"))
    found = graph(
        model("small", "x"), big, cascade("k", "small", "big", thresholds=(0.9,)), outputs=(PROBABILITIES, MEMBER)
    )

    async def program(loop: VirtualLoop) -> None:
        made = Made(found, loop, faulty("big", GONE))
        answer, call = made.start(BATCH)
        assert ((await answer)[PROBABILITIES].tobytes(), call.missing) == (_of("small"), ["big"])

    run(program)


def test_given_up_it_stops_with_the_call() -> None:
    found = graph(model("b", "x"), model("a", "x", policy=NodePolicy(fallback="b")))

    async def program(loop: VirtualLoop) -> None:
        made = Made(found, loop, faulty("a", GONE) | faulty("b", SILENT))
        answer, _ = made.start(BATCH)
        await asyncio.sleep(0.5)
        answer.cancel()
        await asyncio.sleep(0.5)
        assert (made.remotes["b"].given_up, made.remotes["b"].under_way) == (1, 0)

    run(program)
