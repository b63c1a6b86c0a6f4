"""Which callers a revision has: all keys hashed into a million buckets, and the buckets cut into pieces.

Raising a revision's weight must move callers toward it only. No cut that is made of the weights alone can promise that
for three revisions or more (DECISIONS 50 has the proof), so a new cut is made of the one before: whoever must shrink
gives up buckets, whoever may grow takes just those, nobody else's callers move.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from math import floor
from zlib import crc32

BUCKETS = 1_000_000  # a weight counts to a ten-thousandth of a per cent
PER_CENT = BUCKETS / 100
PLACES = 2**32  # of a CRC-32
NOBODY = 0

Pieces = tuple[tuple[int, int], ...]
"""(revision, buckets) from the first bucket on; together all of them."""


class Cut:
    """Chooses by a key; the same key gets the same revision while its bucket is that revision's."""

    def __init__(self, pieces: Pieces, salt: str = "") -> None:
        """``salt``: what makes the buckets of one service others than those of the next."""
        self.pieces = pieces
        self.shares = {number: count / BUCKETS for number, count in _sums(pieces).items()}
        """Revision → the probability with which a key that nobody chose is its."""
        self.only = pieces[0][0] if len(self.shares) == 1 else 0
        """The revision that takes every call; 0 when there is a choice to make."""
        self._ends = list(accumulate(count for _, count in pieces))
        self._places = [-(-end * PLACES // BUCKETS) for end in self._ends]  # the first that is beyond each piece
        self._salted = blake2b(f"{salt}\0".encode(), digest_size=8)
        self._salt = crc32(f"{salt}\0".encode())

    def choose(self, key: str) -> int:
        """The key's revision."""
        return self.only or self.pieces[bisect_right(self._ends, bucket(key, self._salted))][0]

    def piece_of(self, request_id: str) -> int:
        """The index of the piece that has a call which is known by nothing but its id. Nobody chooses the ids that
        replicas make, so a CRC-32 is enough, in a third of the time; mixed by a shift and Fibonacci hashing (Knuth,
        volume 3, 6.4), for alone it is linear in an id that counts up."""
        hashed = crc32(request_id.encode(), self._salt)
        return bisect_right(self._places, (hashed ^ hashed >> 15) * 0x9E3779B1 & 0xFFFFFFFF)


def bucket(key: str, salted: blake2b) -> int:
    """From 0 to ``BUCKETS`` - 1: 64 bits of the key's BLAKE2b hash, scaled. ``salted`` has read what stands before."""
    hashed = salted.copy()  # half the time of a new one
    hashed.update(key.encode("utf-8", "surrogatepass"))
    return int.from_bytes(hashed.digest()) * BUCKETS >> 64


def recut(before: Pieces, weights: Mapping[int, float]) -> Pieces:
    """The pieces for these weights (revision → per cent, together 100) that move the fewest callers.

    Each revision gets its weight to within a bucket per revision.
    """
    before = before or ((NOBODY, BUCKETS),)
    have = _sums(before)
    want = _wanted(have, weights)
    kept, freed = _give_up(before, {number: count - want.get(number, 0) for number, count in have.items()})
    takers = [(number, want[number] - have.get(number, 0)) for number in sorted(want)]
    taken = _hand_out(freed, [(number, count) for number, count in takers if count > 0])
    return _merge(sorted(kept + taken))


def _sums(pieces: Pieces) -> dict[int, int]:
    sums: dict[int, int] = {}
    for number, count in pieces:
        sums[number] = sums.get(number, 0) + count
    return sums


def _wanted(have: Mapping[int, int], weights: Mapping[int, float]) -> dict[int, int]:
    """Buckets by revision. Who lacks less than a whole one takes none: so rounding alone moves nobody to a revision
    whose weight has not grown."""
    lack = {
        number: round(weight * PER_CENT, 6) - have.get(number, 0) for number, weight in weights.items() if weight > 0
    }
    want = {number: have.get(number, 0) + (floor(x) if x > 1 else 0) for number, x in lack.items()}
    surplus = sum(want.values()) - BUCKETS
    if surplus < 0:
        want[max(lack, key=lambda number: (lack[number], number))] -= surplus
    givers = sorted((number for number in lack if lack[number] < 0), key=lambda number: lack[number])
    for round_up in (False, True):
        for number in givers if surplus > 0 else ():
            most = 1 if round_up else floor(-lack[number])
            want[number], surplus = want[number] - min(surplus, most), surplus - min(surplus, most)
    return want


def _give_up(pieces: Pieces, gives: dict[int, int]) -> tuple[list[tuple[int, int, int]], list[tuple[int, int]]]:
    """(start, revision, buckets) that stay, and (start, buckets) that are free; small pieces go first and whole."""
    starts = [0, *accumulate(count for _, count in pieces)]
    kept, freed = [], []
    for index in sorted(range(len(pieces)), key=lambda index: (pieces[index][1], -index)):
        number, count = pieces[index]
        gone = min(count, max(0, gives[number]))
        gives[number] -= gone
        if count > gone:
            kept.append((starts[index], number, count - gone))
        if gone:
            freed.append((starts[index] + count - gone, gone))
    return kept, sorted(freed)


def _hand_out(freed: Sequence[tuple[int, int]], takers: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    taken = []
    left = [[number, count] for number, count in reversed(takers)]
    for start, count in freed:
        at = start
        while at < start + count:
            taker = left[-1]
            part = min(taker[1], start + count - at)
            taken.append((at, taker[0], part))
            at, taker[1] = at + part, taker[1] - part
            if not taker[1]:
                left.pop()
    return taken


def _merge(pieces: Sequence[tuple[int, int, int]]) -> Pieces:
    merged: list[tuple[int, int]] = []
    for _, number, count in pieces:
        if merged and merged[-1][0] == number:
            merged[-1] = (number, merged[-1][1] + count)
        else:
            merged.append((number, count))
    return tuple(merged)
