"""Callers of one round go together; what one of them sends, wants or gives up is not another's business."""

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.core.batch import Batch
from aimass.core.errors import Bug, Invalid, Timeout, Unavailable
from aimass.graph.graph import PROBABILITIES, Graph
from aimass.serving.batching.rules import Rules
from aimass.serving.engine.rounds import Passage, Rounds
from tests.serving.engine.engine_graphs import combine, graph, model, predict, rows, switch
from tests.serving.engine.faulty import FINE, GONE, SHAPE, SILENT, Faulty, Made, faulty, in_a_thread
from tests.serving.virtual_time import VirtualLoop, run

POISON = 7.0


class Poisonable(Faulty):
    """Refuses a batch in which any row is poisoned, as a library would."""

    def _outcome(self, what: str, answer: Batch) -> Batch:
        if (answer[PROBABILITIES] != answer[PROBABILITIES]).any():
            raise Invalid("a row is poisoned")
        return super()._outcome(what, answer)


class Callers:
    """Rounds over one graph, and what has arrived."""

    def __init__(self, loop: VirtualLoop, found: Graph, remotes: dict[str, Faulty], **more: Any) -> None:
        self.made = Made(found, loop, remotes)
        flow = self.made.plan.flow
        assert flow is not None
        self.companies: list[list[Passage]] = []
        rules = Rules(**{"max_rows": 64, "max_queue": 100, **more})
        self.rounds = Rounds("service 's'", flow, in_a_thread, loop, self._arrived, rules)

    def _arrived(self, passages: list[Passage]) -> None:
        self.companies.append(passages)
        for passage in passages:
            assert not passage.job.done()
            passage.job.set_result(passage)

    def enter(self, batch: Batch, deadline_s: float | None = None) -> Passage:
        future = asyncio.get_running_loop().create_future()
        return self.rounds.enter(batch, len(batch["x"]), deadline_s, future)


def _one(policy: Any = None) -> Graph:
    return graph(model("a", "x") if policy is None else model("a", "x", policy=policy))


def _right(passage: Passage) -> bool:
    expected = predict("a")({"0": passage.batch["x"]})[PROBABILITIES]
    return passage.error is None and passage.outputs[PROBABILITIES].tobytes() == expected.tobytes()


def test_a_round_is_one_call_and_each_gets_his_own_rows() -> None:
    async def program(loop: VirtualLoop) -> None:
        callers = Callers(loop, _one(), faulty("a"))
        passages = [callers.enter(rows(count, count)) for count in (1, 3, 2)]
        arrived = await asyncio.gather(*(passage.job for passage in passages))
        assert arrived == passages
        assert [remote.tries for remote in callers.made.remotes.values()] == [[(6, None)]]
        assert all(_right(passage) for passage in passages)
        assert [passage.share for passage in passages] == [1 / 6, 3 / 6, 2 / 6]
        assert (passages[0].node_s or {}).keys() == {"a"}
        assert (len(callers.companies), callers.rounds.under_way) == (1, 0)

    run(program)


def test_a_company_has_no_more_rows_than_may_go_together() -> None:
    async def program(loop: VirtualLoop) -> None:
        callers = Callers(loop, _one(), faulty("a"), max_rows=5)
        passages = [callers.enter(rows(count)) for count in (2, 2, 2, 9, 1)]
        await asyncio.gather(*(passage.job for passage in passages))
        assert sorted(rows for rows, _ in callers.made.remotes["a"].tries) == [1, 2, 4, 9]
        assert all(_right(passage) for passage in passages)

    run(program)


def test_rows_that_may_go_different_ways_go_alone() -> None:
    found = graph(model("a", "x"), switch("s", {"0": "a", "else": "x"}))

    async def program(loop: VirtualLoop) -> None:
        callers = Callers(loop, found, faulty("a", (FINE, 1.0)))
        slow, quick = rows(1), rows(1)
        slow["kind"][:], quick["kind"][:] = 0, 1
        first, second = callers.enter(slow), callers.enter(quick)
        await second.job
        assert not first.job.done()
        await first.job

    run(program)


def test_a_bad_row_fails_its_own_caller() -> None:
    async def program(loop: VirtualLoop) -> None:
        callers = Callers(loop, _one(), {"a": Poisonable("a")})
        batches = [rows(1, seed) for seed in range(4)]
        batches[2]["x"][:] = np.nan
        passages = [callers.enter(batch) for batch in batches]
        await asyncio.gather(*(passage.job for passage in passages))
        assert [_right(passage) for passage in passages] == [True, True, False, True]
        assert isinstance(passages[2].error, Invalid)

    run(program)


def test_a_node_that_is_gone_is_not_asked_again_for_each() -> None:
    async def program(loop: VirtualLoop) -> None:
        callers = Callers(loop, _one(), faulty("a", GONE))
        passages = [callers.enter(rows(1)) for _ in range(3)]
        await asyncio.gather(*(passage.job for passage in passages))
        assert all(isinstance(passage.error, Unavailable) for passage in passages)
        assert len(callers.made.remotes["a"].tries) == 1

    run(program)


def test_what_was_missing_is_told_to_all() -> None:
    found = graph(model("a", "x"), model("b", "x"), combine("vote", "a", "b", quorum=1))

    async def program(loop: VirtualLoop) -> None:
        callers = Callers(loop, found, faulty("a", GONE) | faulty("b"))
        passages = [callers.enter(rows(1)) for _ in range(3)]
        await asyncio.gather(*(passage.job for passage in passages))
        assert [passage.missing for passage in passages] == [["a"]] * 3

    run(program)


def test_a_fault_that_may_be_one_callers_degrades_nobody_else() -> None:
    found = graph(model("a", "x"), model("b", "x"), combine("vote", "a", "b", quorum=1))

    async def program(loop: VirtualLoop) -> None:
        callers = Callers(loop, found, faulty("a", SHAPE, FINE, SHAPE, FINE) | faulty("b"))
        passages = [callers.enter(rows(1)) for _ in range(3)]
        await asyncio.gather(*(passage.job for passage in passages))
        assert [passage.missing for passage in passages] == [[], ["a"], []]

    run(program)


def test_the_last_who_leaves_stops_the_work() -> None:
    async def program(loop: VirtualLoop) -> None:
        callers = Callers(loop, _one(), faulty("a", SILENT))
        first, second = callers.enter(rows(1)), callers.enter(rows(1))
        await asyncio.sleep(0.1)
        callers.rounds.take_back(first)
        await asyncio.sleep(0.1)
        assert callers.made.remotes["a"].given_up == 0
        callers.rounds.take_back(second)
        await asyncio.sleep(0.1)
        assert (callers.made.remotes["a"].given_up, callers.rounds.under_way) == (1, 0)
        assert not callers.companies

    run(program)


def test_one_who_leaves_at_once_sends_nothing() -> None:
    async def program(loop: VirtualLoop) -> None:
        callers = Callers(loop, _one(), faulty("a"))
        callers.rounds.take_back(callers.enter(rows(1)))
        await asyncio.sleep(0.1)
        assert (callers.made.remotes["a"].tries, callers.rounds.under_way) == ([], 0)

    run(program)


def test_deadlines_that_differ_do_not_go_together() -> None:
    async def program(loop: VirtualLoop) -> None:
        callers = Callers(loop, _one(), faulty("a", SILENT, FINE))
        began = loop.time()
        hasty = [callers.enter(rows(1), began + 0.051), callers.enter(rows(1), began + 0.053)]
        patient = callers.enter(rows(1))
        await asyncio.gather(*(passage.job for passage in (*hasty, patient)))
        assert [type(passage.error) for passage in hasty] == [Timeout, Timeout]
        assert loop.time() - began == pytest.approx(0.053)
        assert _right(patient)

    run(program)


def test_too_many_under_way_are_refused_at_once() -> None:
    async def program(loop: VirtualLoop) -> None:
        callers = Callers(loop, _one(), faulty("a"), max_queue=2)
        passages = [callers.enter(rows(1)) for _ in range(2)]
        with pytest.raises(Unavailable, match="service 's' has 2 calls under way"):
            callers.enter(rows(1))
        await asyncio.gather(*(passage.job for passage in passages))
        await callers.enter(rows(1)).job

    run(program)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_caller_who_stays_arrives_once_with_his_own(data: st.DataObject) -> None:
    fates = data.draw(st.lists(st.sampled_from([FINE, FINE, GONE, SHAPE]), min_size=1, max_size=6))
    plans = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from([0.0, 0.001, 0.01]),  # when
                st.integers(1, 4),  # rows
                st.sampled_from([None, None, 0.004, 0.05]),  # time allowed
                st.sampled_from([None, None, None, 0.0, 0.005]),  # gives up after
                st.booleans(),  # poisoned
            ),
            max_size=12,
        )
    )

    async def program(loop: VirtualLoop) -> None:
        callers = Callers(loop, _one(), {"a": Poisonable("a", faulty("a", *fates)["a"].fates)}, max_rows=6)

        async def one(number: int, plan: tuple[float, int, float | None, float | None, bool]) -> None:
            at, count, allowed_s, patience_s, poisoned = plan
            await asyncio.sleep(at)
            batch = rows(count, number)
            if poisoned:
                batch["x"][0] = np.nan
            passage = callers.enter(batch, None if allowed_s is None else loop.time() + allowed_s)
            if patience_s is not None:
                await asyncio.sleep(patience_s)
                callers.rounds.take_back(passage)
                return
            await passage.job
            if passage.error is None:
                assert not poisoned
                assert _right(passage)
            else:
                assert isinstance(passage.error, Unavailable | Bug | Timeout | Invalid)
                assert poisoned or not isinstance(passage.error, Invalid)

        await asyncio.gather(*(one(number, plan) for number, plan in enumerate(plans)))
        await asyncio.sleep(0.1)
        assert callers.rounds.under_way == 0
        assert callers.made.remotes["a"].under_way == 0

    run(program)
