"""A flow gives what the nodes give one after another: sooner where it can, whole or with one error where it cannot."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.core.batch import Batch
from aimass.core.errors import Bug, Invalid, Timeout, Unavailable
from aimass.core.events import Trace
from aimass.core.policies import NodePolicy
from aimass.graph.graph import LABEL, MEMBER, PROBABILITIES, Graph
from tests.serving.engine.engine_graphs import (
    cascade,
    combine,
    graph,
    graphs,
    model,
    plan_of,
    predict,
    rows,
    switch,
)
from tests.serving.engine.faulty import (
    BROKEN,
    DTYPE,
    FINE,
    GONE,
    NAME,
    REFUSED,
    SHAPE,
    SILENT,
    STOPPED,
    Made,
    faulty,
)
from tests.serving.virtual_time import VirtualLoop, run


def _two(quorum: int | None = None) -> Graph:
    """A local scale, two members that may be elsewhere, and their mean."""
    nodes = [model("scale", "x"), model("a", "scale"), model("b", "scale"), combine("vote", "a", "b", quorum=quorum)]
    return graph(*nodes, outputs=(LABEL, PROBABILITIES))


def _mean(*members: str, batch: Batch) -> np.ndarray:
    scaled = predict("scale")({"0": batch["x"]})[PROBABILITIES]
    total = sum(predict(name)({"0": scaled})[PROBABILITIES] for name in members)
    return np.asarray(total / np.float32(len(members)))


@settings(max_examples=100, deadline=None)
@given(graphs(), st.integers(1, 9), st.integers(0, 10_000), st.data())
def test_wherever_its_nodes_run_the_answer_is_the_same(
    found: Graph, count: int, seed: int, data: st.DataObject
) -> None:
    models = [node.name for node in found.nodes if node.kind == "model"]
    away = data.draw(st.sets(st.sampled_from(models), min_size=1))
    delays = {name: data.draw(st.sampled_from([0.0, 0.01, 0.02])) for name in sorted(away)}
    batch = rows(count, seed)

    async def program(loop: VirtualLoop) -> Batch:
        made = Made(found, loop, {name: faulty(name, (FINE, delay))[name] for name, delay in delays.items()})
        answer = await made.run(batch)
        assert all(len(remote.tries) <= 1 for remote in made.remotes.values())
        return answer

    answer = run(program)
    expected = plan_of(found).run(batch)
    for name, array in expected.items():
        assert answer[name].dtype == array.dtype
        assert answer[name].tobytes() == array.tobytes()


def test_members_run_beside_each_other() -> None:
    async def program(loop: VirtualLoop) -> float:
        made = Made(_two(), loop, faulty("a", (FINE, 0.05)) | faulty("b", (FINE, 0.07)))
        began = loop.time()
        batch = rows(4)
        answer = await made.run(batch)
        np.testing.assert_allclose(answer[PROBABILITIES], _mean("a", "b", batch=batch), rtol=1e-6)
        return loop.time() - began

    assert run(program) == pytest.approx(0.07)


def test_branches_of_a_switch_run_beside_each_other_for_their_rows() -> None:
    found = graph(model("a", "x"), model("b", "x"), switch("s", {"0": "a", "else": "b"}))

    async def program(loop: VirtualLoop) -> None:
        made = Made(found, loop, faulty("a", (FINE, 0.05)) | faulty("b", (FINE, 0.05)))
        batch = rows(50)
        began = loop.time()
        await made.run(batch)
        assert loop.time() - began == pytest.approx(0.05)
        zero = int((batch["kind"] == 0).sum())
        assert [made.remotes[name].tries for name in "ab"] == [[(zero, None)], [(50 - zero, None)]]

    run(program)


def test_a_cascade_asks_elsewhere_only_what_is_unsure() -> None:
    nodes = [model("small", "x"), model("big", "x"), cascade("gate", "small", "big", thresholds=(0.7,))]
    found = graph(*nodes, outputs=(LABEL, MEMBER))

    async def program(loop: VirtualLoop) -> None:
        made = Made(found, loop, faulty("big"))
        batch = rows(60)
        answer = await made.run(batch)
        unsure = predict("small")({"0": batch["x"]})[PROBABILITIES].max(axis=1) < 0.7
        assert made.remotes["big"].tries == [(unsure.sum(), None)]
        assert (answer[MEMBER] == unsure).all()
        assert made.totals() == {("rows", "gate", "0"): (~unsure).sum(), ("rows", "gate", "1"): unsure.sum()}

    run(program)


@pytest.mark.parametrize("fate", [GONE, BROKEN, SHAPE, DTYPE, NAME, STOPPED])
def test_a_node_that_fails_fails_the_call_and_stops_the_others(fate: str) -> None:
    async def program(loop: VirtualLoop) -> None:
        made = Made(_two(), loop, faulty("a", fate) | faulty("b", SILENT))
        with pytest.raises((Unavailable, Bug, ZeroDivisionError)) as caught:
            await made.run(rows(3))
        if fate in (SHAPE, DTYPE, NAME):
            assert "node 'a' answered" in str(caught.value)
        await asyncio.sleep(0.001)
        assert (made.remotes["b"].given_up, made.remotes["b"].under_way) == (1, 0)
        kind = "unavailable" if fate in (GONE, STOPPED) else "bug"
        assert made.totals() == {("failures", "a", kind): 1}

    run(program)


def test_one_deadline_reaches_every_node_and_ends_everything() -> None:
    async def program(loop: VirtualLoop) -> None:
        made = Made(_two(), loop, faulty("a", SILENT) | faulty("b", (FINE, 0.02)))
        deadline = loop.time() + 0.1
        with pytest.raises(Timeout, match="left its nodes 100 ms, too few for 'a'"):
            await made.run(rows(2), deadline_s=deadline)
        assert loop.time() == pytest.approx(deadline)
        assert [remote.tries for remote in made.remotes.values()] == [[(2, deadline)]] * 2
        await asyncio.sleep(0.001)
        assert made.remotes["a"].given_up == 1

    run(program)


def test_a_deadline_that_has_passed_runs_nothing() -> None:
    async def program(loop: VirtualLoop) -> None:
        made = Made(_two(), loop, faulty("a"))
        with pytest.raises(Timeout, match="before its first node"):
            await made.run(rows(1), deadline_s=loop.time())
        assert made.remotes["a"].tries == []

    run(program)


def test_cancelled_it_stops_all_that_it_began_and_begins_nothing_more() -> None:
    found = graph(model("a", "x"), model("b", "x"), model("c", "a"), combine("vote", "b", "c"))

    async def program(loop: VirtualLoop) -> None:
        made = Made(found, loop, faulty("a", (FINE, 0.05)) | faulty("b", SILENT) | faulty("c"))
        answer, _ = made.start(rows(1))
        await asyncio.sleep(0.02)
        answer.cancel()
        await asyncio.sleep(1)
        assert [remote.given_up for remote in made.remotes.values()] == [1, 1, 0]
        assert made.remotes["c"].tries == []

    run(program)


def test_a_member_that_is_not_required_is_done_without_and_named() -> None:
    async def program(loop: VirtualLoop) -> None:
        made = Made(_two(quorum=1), loop, faulty("a", GONE) | faulty("b"))
        batch = rows(5)
        answer, call = made.start(batch)
        np.testing.assert_allclose((await answer)[PROBABILITIES], _mean("b", batch=batch), rtol=1e-6)
        assert call.missing == ["a"]

    run(program)


def test_below_the_quorum_the_first_error_is_the_calls() -> None:
    async def program(loop: VirtualLoop) -> None:
        made = Made(_two(quorum=1), loop, faulty("a", (GONE, 0.02)) | faulty("b", (SHAPE, 0.01)))
        with pytest.raises(Bug, match="node 'b' answered"):
            await made.run(rows(5))

    run(program)


def test_rows_that_are_at_fault_are_the_callers_to_hear_of() -> None:
    async def program(loop: VirtualLoop) -> None:
        made = Made(_two(quorum=1), loop, faulty("a", REFUSED) | faulty("b"))
        with pytest.raises(Invalid, match="does not take this"):
            await made.run(rows(5))

    run(program)


@pytest.mark.parametrize(("fate", "is_lost"), [(GONE, True), (BROKEN, False), (SHAPE, False)])
def test_rows_of_several_callers_lose_no_node_for_what_one_of_them_may_have_sent(fate: str, is_lost: bool) -> None:
    async def program(loop: VirtualLoop) -> None:
        made = Made(_two(quorum=1), loop, faulty("a", fate) | faulty("b"))
        answer, call = made.start(rows(5), is_shared=True)
        if is_lost:
            await answer
            assert call.missing == ["a"]
        else:
            with pytest.raises((ZeroDivisionError, Bug)):
                await answer

    run(program)


def test_what_is_lost_behind_a_choice_is_lost_for_all() -> None:
    nodes = [model("a", "x"), model("b", "x"), switch("s", {"0": "a", "else": "b"}), combine("c", "s", "x", quorum=1)]

    async def program(loop: VirtualLoop) -> None:
        made = Made(graph(*nodes), loop, faulty("a", GONE) | faulty("b"))
        batch = rows(20)
        answer, call = made.start(batch)
        assert (await answer)[PROBABILITIES].tobytes() == batch["x"].tobytes()
        assert call.missing == ["a"]

    run(program)


@pytest.mark.parametrize(
    ("dead", "members"), [("mid", {0, 2}), ("mid big", {0}), ("small", {1, 2}), ("small mid", {2}), ("big", {0, 1})]
)
def test_a_cascade_goes_on_with_the_members_that_are_left(dead: str, members: set[int]) -> None:
    names = ("small", "mid", "big")
    nodes = [model(name, "x", policy=NodePolicy(required=False)) for name in names]
    gate = cascade("gate", *names, thresholds=(0.7, 0.75))
    found = graph(*nodes, gate, outputs=(PROBABILITIES, MEMBER))
    batch = rows(60)
    given = {name: predict(name)({"0": batch["x"]})[PROBABILITIES] for name in names}

    async def program(loop: VirtualLoop) -> None:
        made = Made(found, loop, {name: faulty(name, GONE if name in dead else FINE)[name] for name in names})
        answer, call = made.start(batch)
        outputs = await answer
        assert call.missing == dead.split()
        assert set(outputs[MEMBER].tolist()) == members
        for row, member in enumerate(outputs[MEMBER].tolist()):
            assert outputs[PROBABILITIES][row].tobytes() == given[names[member]][row].tobytes()
            alive = [index for index, name in enumerate(names) if name not in dead]
            sure = [index for index in alive[:-1] if given[names[index]][row].max() >= (0.7, 0.75)[index]]
            assert member == (sure[0] if sure else alive[-1])

    run(program)


def test_a_cascade_without_members_is_lost() -> None:
    nodes = [model(name, "x", policy=NodePolicy(required=False)) for name in "ab"]
    found = graph(*nodes, cascade("gate", "a", "b", thresholds=(0.7,)))

    async def program(loop: VirtualLoop) -> None:
        made = Made(found, loop, faulty("a", GONE) | faulty("b", GONE))
        with pytest.raises(Unavailable, match="a replica of 'a' died"):
            await made.run(rows(3))

    run(program)


def test_seconds_of_nodes_are_told_where_somebody_asks() -> None:
    async def program(loop: VirtualLoop) -> Trace:
        trace = Trace("r")
        made = Made(_two(), loop, faulty("a") | faulty("b"))
        await made.run(rows(1), trace=trace)
        return trace

    assert run(program).node_s.keys() == {"scale", "a", "b", "vote"}


def test_a_plan_whose_deployments_are_not_there_does_not_connect() -> None:
    async def program(loop: VirtualLoop) -> None:
        made = Made(_two(), loop, faulty("a"))
        with pytest.raises(Unavailable, match="node 'a' runs in deployment 'a'"):
            made.plan.connect({}, loop)

    run(program)
