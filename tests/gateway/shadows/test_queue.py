"""What waits for shadows stays within its bound, and is nobody else's memory; who is mirrored is a matter of ids."""

from typing import cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from aimass.core.batch import size_of
from aimass.gateway.routes import Target
from aimass.gateway.shadows.lane import PLACES, place
from aimass.gateway.shadows.queue import TOGETHER_ROWS, Bound, Mirrored, Queue, own
from aimass.serving.traffic.cut import Cut, recut

TARGETS = [cast(Target, object()), cast(Target, object())]


def _call(rows: int, at: float, target: int = 0) -> Mirrored:
    inputs = {"x": np.full((rows, 2), at, np.float32)}
    return Mirrored(TARGETS[target], inputs, {}, rows, 0, size_of(inputs), at)


@given(st.lists(st.integers(0, 400), max_size=60), st.data())
def test_no_call_is_lost_or_doubled_and_the_bound_holds(rows: list[int], data: st.DataObject) -> None:
    bound = Bound(rows=700, size_bytes=4000)
    queues, put, got = [Queue(bound), Queue(bound)], [], []
    for at, count in enumerate(rows, 1):
        queue = queues[data.draw(st.integers(0, 1))]
        if count == 0 and len(queue):
            taken = queue.take()
            assert sum(call.rows for call in taken) <= max(TOGETHER_ROWS, taken[0].rows)
        elif count == 1:
            taken = queue.take_older(data.draw(st.floats(0, at)))
        else:
            taken, call = [], _call(count, float(at), data.draw(st.integers(0, 1)))
            if bound.has_room(call.rows, call.size_bytes):
                queue.put(call)
                put.append(call)
        queue.let_go(taken)
        got += taken
        assert len({call.target for call in taken}) <= 1 or count == 1
        assert bound.held_rows <= bound.rows and bound.held_bytes <= bound.size_bytes
    for queue in queues:
        while len(queue):
            taken = queue.take()
            assert [call.at for call in taken] == sorted(call.at for call in taken)
            queue.let_go(taken)
            got += taken
    assert sorted(map(id, got)) == sorted(map(id, put))
    assert (bound.held_rows, bound.held_bytes) == (0, 0)


def test_calls_of_one_revision_run_together_however_they_are_mixed_with_anothers() -> None:
    queue = Queue(Bound())
    for at in range(60):
        queue.put(_call(1, float(at), int(at % 20 == 0)))
    assert [len(queue.take()) for _ in range(2)] == [3, 57]
    assert len(queue) == 0


def test_what_waits_shares_no_memory_with_what_was_sent() -> None:
    body = bytearray(np.arange(8, dtype=np.float32).tobytes())
    view = np.frombuffer(body, np.float32).reshape(2, 4)
    kept = own({"x": view, "own": np.ones(3)})
    body[:] = bytes(len(body))
    assert kept["x"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert size_of(kept) == 32 + 24


def test_who_is_mirrored_is_even_and_has_nothing_to_do_with_the_split() -> None:
    ids = [f"1a2b3c4d0123456789a{number:08x}" for number in range(40_000)]
    mirrored = [name for name in ids if place(name) < 0.1 * PLACES]
    low, high = binom.interval(0.999, len(ids), 0.1)
    assert low <= len(mirrored) <= high
    low, high = binom.interval(0.999, len(mirrored), 0.05)
    cut = Cut(recut((), {1: 95.0, 2: 5.0}))
    assert low <= sum(cut.pieces[cut.piece_of(name)][0] == 2 for name in mirrored) <= high
