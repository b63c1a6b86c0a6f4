"""Whatever fails wherever: every call has one answer or one error, at the latest at its deadline, and the answer is the
one that the nodes which answered give."""

import asyncio

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.core.batch import Batch
from aimass.core.errors import Timeout
from aimass.graph.graph import Graph
from aimass.serving.engine.flight import FlowCall
from tests.serving.engine.engine_graphs import Oracle, graphs, layout_of, rows
from tests.serving.engine.faulty import FAULTS, FINE, SILENT, Fate, Faulty, Made
from tests.serving.virtual_time import VirtualLoop, run

BUDGET_S = 2.0
DELAYS = [0.0, 0.01, 0.03, 0.1]
Outcome = Batch | BaseException


def _fates(dead: bool) -> st.SearchStrategy[list[Fate]]:
    """Dead: no try ever answers. Else the first one does."""
    delay = st.sampled_from([0.0, 0.01])
    if not dead:
        return st.builds(lambda after: [Fate(FINE, after)], delay)
    return st.lists(st.builds(Fate, st.sampled_from(FAULTS), delay), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(graphs(forgiving=True), st.integers(1, 6), st.data())
def test_the_answer_is_that_of_those_who_answered(found: Graph, count: int, data: st.DataObject) -> None:
    models = [node.name for node in found.nodes if node.kind == "model"]
    away = data.draw(st.sets(st.sampled_from(models), min_size=1))
    dead = frozenset(data.draw(st.sets(st.sampled_from(sorted(away)))))
    fates = {name: data.draw(_fates(name in dead)) for name in sorted(away)}
    if any(node.kind in ("switch", "cascade") for node in found.nodes):
        count = 1  # what is lost behind a choice is lost for all rows of a call, which no row by itself can tell
    batch = rows(count, seed=data.draw(st.integers(0, 99)))

    async def program(loop: VirtualLoop) -> tuple[Outcome, FlowCall, float]:
        made = Made(found, loop, {name: Faulty(name, mine) for name, mine in fates.items()})
        began = loop.time()
        answer, call = made.start(batch, deadline_s=began + BUDGET_S)
        (outcome,) = await asyncio.gather(answer, return_exceptions=True)
        took = loop.time() - began
        await asyncio.sleep(0.001)
        assert all(remote.under_way == 0 for remote in made.remotes.values()), "somebody works for nobody"
        return outcome, call, took

    outcome, call, took = run(program)
    assert took <= BUDGET_S + 1e-6
    expected = [Oracle(found, batch, row, dead) for row in range(count)]
    whole = all(oracle.give(source) is not None for oracle in expected for source in found.sources)
    if isinstance(outcome, dict):
        assert whole
        assert set(call.missing) <= dead | _with_lost_inputs(found, dead)
        for row, oracle in enumerate(expected):
            for source in found.sources:
                np.testing.assert_allclose(outcome[source.tensor][row], oracle.give(source)[0], rtol=1e-5)  # type: ignore[index]
        return
    assert isinstance(outcome, Exception)
    assert dead, "nothing failed"
    if isinstance(outcome, Timeout) and any(fate.what == SILENT for name in dead for fate in fates[name]):
        return  # a node without a deadline of its own may use up the request's
    required = _required(found) & dead
    assert required or not whole


def _with_lost_inputs(found: Graph, dead: frozenset[str]) -> set[str]:
    """Nodes that a stand-in may have replaced because they read from one that is lost."""
    lost = set(dead)
    for node in found.nodes:
        if any(source.node in lost for _, source in node.inputs):
            lost.add(node.name)
    return lost


def _required(found: Graph) -> set[str]:
    return {node.name for node in layout_of(found).nodes_all() if node.policy.required}


@settings(max_examples=150, deadline=None)
@given(graphs(forgiving=True), st.data())
def test_many_calls_at_once_each_end_once(found: Graph, data: st.DataObject) -> None:
    """Some are cancelled, some have no time; every other one ends by its deadline."""
    models = [node.name for node in found.nodes if node.kind == "model"]
    fate = st.builds(Fate, st.sampled_from([FINE, FINE, FINE, *FAULTS]), st.sampled_from(DELAYS))
    fates = {name: data.draw(st.lists(fate, min_size=1, max_size=8)) for name in models}
    plans = data.draw(
        st.lists(
            st.tuples(st.sampled_from([0.0, 0.02, 0.5]), st.sampled_from([0.005, 0.05, 1.0]), st.booleans()),
            min_size=1,
            max_size=8,
        )
    )

    async def one(made: Made, loop: VirtualLoop, at: float, allowed_s: float, hasty: bool) -> Outcome:
        await asyncio.sleep(at)
        deadline = loop.time() + allowed_s
        answer, _ = made.start(rows(2), deadline_s=deadline)
        if hasty:
            loop.call_later(allowed_s / 2, answer.cancel)
        (outcome,) = await asyncio.gather(answer, return_exceptions=True)
        assert loop.time() <= deadline + 1e-6
        return outcome

    async def program(loop: VirtualLoop) -> None:
        made = Made(found, loop, {name: Faulty(name, mine) for name, mine in fates.items()})
        outcomes = await asyncio.gather(*(one(made, loop, *plan) for plan in plans))
        for outcome, (_, _, hasty) in zip(outcomes, plans, strict=True):
            assert isinstance(outcome, dict | Exception) or (hasty and isinstance(outcome, asyncio.CancelledError))
        await asyncio.sleep(0.001)
        assert all(remote.under_way == 0 for remote in made.remotes.values())

    run(program)
