"""Calls to a node, in virtual time and over a pretended link: rows share a hop, and errors arrive as what they are."""

import asyncio

import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.core.errors import Invalid, Timeout, TooLarge, Unavailable
from aimass.serving.batching.rules import Rules
from aimass.serving.layout import Fanout, Layout
from aimass.serving.nodes import sender as sending
from aimass.serving.nodes.sender import Sender
from aimass.serving.nodes.senders import Senders
from aimass.serving.nodes.wire import Errand, Greeting, NodesState, Outcome
from tests.serving.virtual_time import VirtualLoop, run

GREETING = Greeting(pid=1, fixed_us=500.0, row_us=0.0)
HOP_S = 0.002


class PretendedLink:
    """Doubles x after a hop. ``down``: nobody answers."""

    def __init__(self) -> None:
        self.errands: list[Errand] = []
        self.let_go = 0
        self.down = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def infer(self, batch: Batch, errand: Errand) -> Outcome:
        self.errands.append(errand)
        try:
            await asyncio.sleep(HOP_S)
        except asyncio.CancelledError:
            self.let_go += 1
            raise
        if self.down:
            raise Unavailable("node 'n' lost the replica that ran this call")
        if (batch["x"] < 0).any():
            return Invalid("below zero", field="x")
        return {"y": batch["x"] * 2}

    async def greet(self) -> Greeting:
        await self.answers.wait()
        return GREETING


@pytest.fixture
def run_by_hop(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many rows share a hop as a run."""
    monkeypatch.setattr(sending, "HOP_RUNS", 1)


def rows(*values: float) -> Batch:
    return {"x": np.array(values)}


def test_rows_share_a_hop_and_the_node_hears_who_travels_and_who_waits(run_by_hop: None) -> None:
    async def program(loop: VirtualLoop) -> None:
        link = PretendedLink()
        sender = Sender("n", link, GREETING, Rules(max_rows=3, max_wait_s=1), loop, lambda: 0.5)
        told: list[int] = []
        sender.observe(lambda count, waits: told.append(count))
        calls = [sender.call(rows(float(n)), 1, loop.time() + 1) for n in range(8)]
        answers = await asyncio.gather(*calls)
        assert [answer["y"].tolist() for answer in answers] == [[2.0 * n] for n in range(8)]
        assert told == [errand.rows for errand in link.errands] == [1, 3, 3, 1]
        assert [errand.requests for errand in link.errands] == [0.5, 1.5, 1.5, 0.5], "two rows are a call"
        assert [errand.waiting for errand in link.errands] == [2, 2, 0.5, 0]
        assert [errand.waited_s for errand in link.errands] == pytest.approx([0, 0, HOP_S, 2 * HOP_S], abs=1e-4)
        assert all(0.99 < (errand.left_s or 0) <= 1 for errand in link.errands)
        assert len({errand.sender for errand in link.errands}) == 1

    run(program)


@pytest.mark.parametrize(("max_rows", "hops"), [(4, [1, 16, 3]), (1, [1] * 20)])
def test_several_runs_share_a_hop_unless_each_request_is_to_run_by_itself(max_rows: int, hops: list[int]) -> None:
    async def program(loop: VirtualLoop) -> None:
        link = PretendedLink()
        sender = Sender("n", link, GREETING, Rules(max_rows, max_wait_s=1), loop, lambda: 1.0)
        await asyncio.gather(*[sender.call(rows(1.0), 1, None) for _ in range(20)])
        assert [errand.rows for errand in link.errands] == hops

    run(program)


def test_a_nodes_errors_are_the_callers_whose_rows_they_are() -> None:
    async def program(loop: VirtualLoop) -> None:
        link = PretendedLink()
        sender = Sender("n", link, GREETING, Rules(), loop, lambda: 0.5)
        calls = [sender.call(rows(value), 1, None) for value in (1.0, 2.0, -3.0, 4.0)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(answers[2], Invalid)
        assert answers[2].field == "x"
        assert [answer["y"].tolist() for answer in answers if isinstance(answer, dict)] == [[2.0], [4.0], [8.0]]

    run(program)


def test_a_lost_replica_costs_each_of_its_callers_one_error_that_may_be_tried_again() -> None:
    async def program(loop: VirtualLoop) -> None:
        link = PretendedLink()
        link.down = True
        sender = Sender("n", link, GREETING, Rules(), loop, lambda: 0.5)
        answers = await asyncio.gather(*[sender.call(rows(1.0), 1, None) for _ in range(5)], return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable] * 5
        assert len(link.errands) == 2, "no call was made again by itself"
        link.down = False
        assert (await sender.call(rows(1.0), 1, None))["y"].tolist() == [2.0]

    run(program)


def test_a_call_that_everybody_has_left_is_let_go() -> None:
    async def program(loop: VirtualLoop) -> None:
        link = PretendedLink()
        sender = Sender("n", link, GREETING, Rules(), loop, lambda: 0.5)
        with pytest.raises(Timeout):
            await sender.call(rows(1.0), 1, loop.time() + HOP_S / 4)
        await asyncio.sleep(HOP_S / 10)
        assert link.let_go == 1
        several = [asyncio.ensure_future(sender.call(rows(1.0), 1, None)) for _ in range(3)]
        await asyncio.sleep(HOP_S * 1.5)
        assert several[0].done()
        several[1].cancel()
        await asyncio.sleep(HOP_S / 10)
        assert link.let_go == 1, "somebody still waits for it"
        several[2].cancel()
        await asyncio.sleep(HOP_S / 10)
        assert link.let_go == 2

    run(program)


def test_as_many_calls_are_out_as_replicas_run(run_by_hop: None) -> None:
    async def program(loop: VirtualLoop) -> None:
        link = PretendedLink()
        sender = Sender("n", link, GREETING, Rules(max_rows=4, max_wait_s=1), loop, lambda: 0.5)
        sender.resize(3)
        calls = [sender.call(rows(1.0), 1, None) for _ in range(20)]
        assert [errand.rows for errand in link.errands] == []
        await asyncio.sleep(0)
        assert [errand.rows for errand in link.errands] == [1, 1, 1, 4, 4, 4]
        assert link.errands[0].waiting == pytest.approx(2.5 / 3)
        sender.resize(0)
        await asyncio.gather(*calls)
        link.errands.clear()
        again = [sender.call(rows(1.0), 1, None) for _ in range(3)]
        await asyncio.sleep(0)
        assert len(link.errands) == 1, "with no replica one call is out, to bring the first"
        await asyncio.gather(*again)

    run(program)


def test_what_is_too_large_for_one_call_travels_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MAX_MESSAGE_BYTES", 24)

    async def program(loop: VirtualLoop) -> None:
        link = PretendedLink()
        sender = Sender("n", link, GREETING, Rules(), loop, lambda: 0.5)
        calls = [sender.call(rows(float(n)), 1, None) for n in range(6)]
        with pytest.raises(TooLarge, match="4 rows of 32 bytes"):
            await sender.call(rows(1.0, 2.0, 3.0, 4.0), 4, None)
        assert [(await call)["y"].tolist() for call in calls] == [[2.0 * n] for n in range(6)]
        assert max(errand.rows for errand in link.errands) <= 3

    run(program)


LAYOUT = Layout("fanout", (), (), (), (), {name: Fanout(Layout("fused", (), (), (), ())) for name in ("a", "b")})


def test_a_revision_is_connected_when_each_of_its_nodes_has_answered() -> None:
    async def program(loop: VirtualLoop) -> None:
        links = {name: PretendedLink() for name in ("a", "b")}
        links["b"].answers.clear()

        async def find(app: str, name: str) -> PretendedLink:
            assert app == "s-r3"
            return links[name]

        senders = Senders(find, lambda *_: lambda count, waits: None, lambda *_: lambda: 1.0, loop)
        task = asyncio.ensure_future(senders.connect("s", 3, LAYOUT, Rules()))
        await asyncio.sleep(1)
        assert not task.done()
        senders.hear({"s-r3": NodesState({"a": 2, "b": 0}), "other-r1": NodesState({}, "broken")})
        links["b"].answers.set()
        connected = await task
        assert list(connected) == ["a", "b"]
        calls = [connected["a"].call(rows(1.0), 1, None) for _ in range(2)]
        await asyncio.gather(*calls)
        assert [errand.requests for errand in links["a"].errands] == [1, 1], "two replicas were known to run"

    run(program)


def test_why_an_application_does_not_start_is_the_reason_of_its_revision() -> None:
    async def program(loop: VirtualLoop) -> None:
        async def find(app: str, name: str) -> PretendedLink:
            await asyncio.sleep(3600)
            raise AssertionError

        senders = Senders(find, lambda *_: lambda count, waits: None, lambda *_: lambda: 1.0, loop)
        task = asyncio.ensure_future(senders.connect("s", 3, LAYOUT, Rules()))
        await asyncio.sleep(1)
        senders.hear({"s-r3": NodesState({}, "artifact 00 is corrupted")})
        with pytest.raises(Invalid, match="artifact 00 is corrupted"):
            await task

    run(program)
