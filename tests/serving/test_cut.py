"""Buckets and their cut: exact shares, and callers that move only toward a revision that grows."""

from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2

from aimass.serving.traffic.cut import BUCKETS, Cut, Pieces, bucket, recut

LEAST = 1e-3  # per cent; ten buckets
Weights = dict[int, float]
BY: dict[str, Callable[[Cut], Callable[[str], int]]] = {
    "key": lambda cut: cut.choose,
    "request": lambda cut: lambda request_id: cut.pieces[cut.piece_of(request_id)][0],
}


@st.composite
def weights(draw: st.DrawFn) -> Weights:
    parts = draw(st.lists(st.floats(0.001, 1000) | st.just(0.0), min_size=1, max_size=6).filter(any))
    found = {number: part * 100 / sum(parts) for number, part in enumerate(parts, start=1)}
    least = {number: max(weight, LEAST) if weight else 0.0 for number, weight in found.items()}
    return {number: weight * 100 / sum(least.values()) for number, weight in least.items()}


def revision_at(pieces: Pieces, at: int) -> int:
    start = 0
    for number, count in pieces:
        start += count
        if at < start:
            return number
    raise AssertionError(at)


def edges(*cuts: Pieces) -> list[int]:
    """A bucket of each piece of any of the cuts: between them nothing changes."""
    return sorted({0, *(end for cut in cuts for end in accumulate(count for _, count in cut))} - {BUCKETS})


def after(history: list[Weights]) -> Pieces:
    pieces: Pieces = ()
    for item in history:
        pieces = recut(pieces, item)
    return pieces


@given(st.lists(weights(), min_size=1, max_size=8))
def test_every_revision_has_its_weight_whatever_came_before(history: list[Weights]) -> None:
    shares = Cut(after(history)).shares
    assert sum(shares.values()) == pytest.approx(1)
    for number, weight in history[-1].items():
        assert abs(shares.get(number, 0.0) - weight / 100) <= len(history[-1]) / BUCKETS
        assert (number in shares) == (weight > 0)


@given(st.lists(weights(), max_size=4), weights(), st.data())
def test_raising_a_weight_moves_callers_only_toward_it(
    history: list[Weights], old: Weights, data: st.DataObject
) -> None:
    """For any revision that grows while each other one shrinks, stays or goes, from any cut that ever was."""
    grows = data.draw(st.sampled_from(sorted(old)))
    new = {n: weight * data.draw(st.sampled_from([1.0, 0.999, 0.5, 0.1, 0.0])) for n, weight in old.items()}
    new = {number: weight if weight >= LEAST or not weight else old[number] for number, weight in new.items()}
    new[grows] = 100 - sum(weight for number, weight in new.items() if number != grows)
    before = after([*history, old])
    now = recut(before, new)
    for at in edges(before, now):
        left, took = revision_at(before, at), revision_at(now, at)
        assert took in (left, grows)


@given(st.lists(weights(), min_size=2, max_size=5))
def test_no_more_callers_move_than_must(history: list[Weights]) -> None:
    before, now = after(history[:-1]), after(history)
    points = [*edges(before, now), BUCKETS]
    moved = sum(end - start for start, end in pairwise(points) if revision_at(before, start) != revision_at(now, start))
    have, want = Cut(before).shares, Cut(now).shares
    assert moved == pytest.approx(sum(max(0, want[n] - have.get(n, 0)) for n in want) * BUCKETS, abs=0.5)


def test_a_walk_of_many_moves_does_not_crumble() -> None:
    """Two revisions need a few pieces, however often their weights swing."""
    history = [{1: 50 + 40 * ((step * 7919) % 101 - 50) / 50, 2: 0.0} for step in range(2000)]
    pieces: Pieces = ()
    for item in history:
        pieces = recut(pieces, {1: item[1], 2: 100 - item[1]})
        assert len(pieces) <= 16


@pytest.mark.parametrize(
    "asked", [{1: 99.9, 2: 0.1}, {1: 95.0, 2: 5.0}, {1: 33.3, 2: 33.3, 3: 33.3, 4: 0.1}, {1: 50.0, 2: 49.5, 3: 0.5}]
)
@pytest.mark.parametrize("by", BY)
def test_a_hundred_thousand_calls_spread_as_the_weights_say(asked: Weights, by: str) -> None:
    """Within the 99.9 % interval of the binomial distribution, for request ids as replicas make them, as calls and as
    keys."""
    choose = BY[by](Cut(recut((), asked), "digits"))
    counts = Counter(choose(f"5e884898{1700000000000:011x}{number:08x}") for number in range(100_000))
    for number, weight in asked.items():
        low, high = binom.interval(0.999, 100_000, weight / 100)
        assert low <= counts[number] <= high, (number, counts[number])


@given(st.text())
def test_every_key_has_a_bucket(key: str) -> None:
    assert 0 <= bucket(key, blake2b(digest_size=8)) < BUCKETS


def test_calls_of_many_replicas_spread_over_their_buckets_as_dice_would() -> None:
    """χ² of 100 replicas by 50 parts of all buckets: a p-value that is neither tiny nor suspiciously near to one."""
    counts, fifty = np.zeros((100, 50)), tuple((number, BUCKETS // 50) for number in range(1, 51))
    for replica in range(len(counts)):
        prefix, cut = (
            f"{replica * 2654435761 % 2**32:08x}{1_800_000_000_000 + replica * 977:011x}",
            Cut(fifty, f"{replica}"),
        )
        for number in range(2000):
            counts[replica, cut.piece_of(f"{prefix}{number:08x}")] += 1
    expected = 2000 / 50
    assert 1e-4 < chi2.sf(((counts - expected) ** 2 / expected).sum(), 100 * 49) < 1 - 1e-4


def test_services_do_not_share_their_buckets() -> None:
    pieces = recut((), {1: 50.0, 2: 50.0})
    one, other = Cut(pieces, "one"), Cut(pieces, "other")
    for by in BY.values():
        same = sum(by(one)(f"user-{n}") == by(other)(f"user-{n}") for n in range(4000))
        assert 1800 < same < 2200
