"""What every traffic policy must do: subclass ``TrafficConformance`` in a test module and say how to make yours."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest

from aimass.core.errors import Invalid
from aimass.serving.traffic.base import Traffic, Weights
from aimass.serving.traffic.cut import Cut, Pieces, recut
from aimass.serving.traffic.rewards import Rewards

CALLS = 20_000
TOGETHER = [{1: 90.0, 2: 10.0}, {3: 50.0, 5: 50.0}, {1: 99.0, 2: 0.5, 9: 0.5}]
EARNED = {1: Rewards(400, 120.0, 120.0), 2: Rewards(400, 160.0, 160.0), 9: Rewards(3, 1.0, 1.0)}


class TrafficConformance(ABC):
    """Collected by pytest in its subclasses."""

    moments: Sequence[float] = (0.0, 0.5, 3.0, 1e9)
    """Seconds after the move at which it is looked at."""

    @abstractmethod
    def make(self, weights: Weights, before: Weights | None = None) -> Traffic:
        """A policy that is to take traffic from ``before`` to ``weights`` (revision → per cent)."""

    @pytest.mark.parametrize("weights", TOGETHER)
    @pytest.mark.parametrize("rewards", [{}, EARNED])
    def test_shares_are_per_cents_of_revisions_that_are_named(
        self, weights: Weights, rewards: Mapping[int, Rewards]
    ) -> None:
        for elapsed_s in self.moments:
            shares = self.make(weights, {1: 100.0}).shares(elapsed_s, rewards)
            assert shares.keys() <= weights.keys() | {1}
            assert sum(shares.values()) == pytest.approx(100)
            assert min(shares.values()) > 0

    def test_a_lone_revision_takes_every_call(self) -> None:
        assert self.make({7: 100.0, 8: 0.0}).shares(1e9, EARNED) == {7: 100.0}

    @pytest.mark.parametrize("rewards", [{}, EARNED])
    def test_the_same_state_of_things_gives_the_same_shares(self, rewards: Mapping[int, Rewards]) -> None:
        first, second = self.make({1: 60.0, 2: 40.0}), self.make({2: 40.0, 1: 60.0})
        for elapsed_s in self.moments:
            shares = first.shares(elapsed_s, rewards)
            assert shares == first.shares(elapsed_s, dict(rewards)) == second.shares(elapsed_s, rewards)

    @pytest.mark.parametrize("weights", TOGETHER)
    def test_as_many_calls_come_as_the_shares_say(self, weights: Weights) -> None:
        for elapsed_s in self.moments:
            shares = self.make(weights).shares(elapsed_s, EARNED)
            cut = Cut(recut((), shares))
            counts = Counter(cut.choose(f"call-{number}") for number in range(CALLS))
            assert counts.keys() <= shares.keys()
            for revision, share in shares.items():
                assert cut.shares[revision] * 100 == pytest.approx(share, abs=1e-3)
                wanted = CALLS * share / 100
                assert abs(counts[revision] - wanted) < 5 * wanted**0.5 + 1  # five standard deviations

    def test_callers_only_move_to_revisions_that_grow(self) -> None:
        pieces: Pieces = ()
        seen = [self.make({1: 30.0, 2: 70.0}, {1: 100.0}).shares(at, EARNED) for at in self.moments]
        seen += [self.make({1: 5.0, 2: 15.0, 3: 80.0}, seen[-1]).shares(at, EARNED) for at in self.moments]
        cuts = [Cut(pieces := recut(pieces, shares)) for shares in seen]
        for (before, after), (old, new) in zip(pairwise(seen), pairwise(cuts), strict=True):
            for number in range(2000):
                left, took = old.choose(f"user-{number}"), new.choose(f"user-{number}")
                assert left == took or after.get(took, 0.0) > before.get(took, 0.0)

    @pytest.mark.parametrize("weights", [{}, {1: 99.0}, {1: 101.0}, {1: 150.0, 2: -50.0}, {1: float("nan")}])
    def test_weights_that_are_no_per_cents_are_refused(self, weights: Weights) -> None:
        with pytest.raises(Invalid):
            self.make(weights)
