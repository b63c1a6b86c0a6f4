"""What every traffic policy must do: subclass ``TrafficConformance`` in a test module and say how to make yours."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping

import pytest

from aimass.core.errors import Invalid
from aimass.serving.traffic.base import Traffic

CALLS = 20_000


class TrafficConformance(ABC):
    """Collected by pytest in its subclasses."""

    @abstractmethod
    def make(self, weights: Mapping[int, float]) -> Traffic:
        """A policy with these weights (revision → per cent)."""

    def test_a_lone_revision_takes_every_call(self) -> None:
        traffic = self.make({7: 100.0, 8: 0.0})
        assert traffic.only == 7
        assert {traffic.choose(f"call-{number}") for number in range(100)} == {7}

    def test_a_caller_stays_where_it_is(self) -> None:
        first, second = self.make({1: 60.0, 2: 40.0}), self.make({2: 40.0, 1: 60.0})
        for number in range(500):
            assert first.choose(f"user-{number}") == first.choose(f"user-{number}") == second.choose(f"user-{number}")

    @pytest.mark.parametrize("weights", [{1: 90.0, 2: 10.0}, {3: 50.0, 5: 50.0}, {1: 99.0, 2: 0.5, 9: 0.5}])
    def test_shares_are_as_asked(self, weights: Mapping[int, float]) -> None:
        counts = Counter(self.make(weights).choose(f"call-{number}") for number in range(CALLS))
        assert counts.keys() <= weights.keys()
        for revision, weight in weights.items():
            wanted = CALLS * weight / 100
            assert abs(counts[revision] - wanted) < 5 * wanted**0.5 + 1  # five standard deviations

    def test_nobody_leaves_a_revision_that_grows(self) -> None:
        stages = [self.make({1: 100.0 - share, 2: share}) for share in (0.0, 1.0, 10.0, 50.0, 100.0)]
        for number in range(2000):
            took = [traffic.choose(f"user-{number}") for traffic in stages]
            assert took == sorted(took)

    @pytest.mark.parametrize("weights", [{}, {1: 99.0}, {1: 101.0}, {1: 150.0, 2: -50.0}, {1: float("nan")}])
    def test_weights_that_are_no_per_cents_are_refused(self, weights: Mapping[int, float]) -> None:
        with pytest.raises(Invalid):
            self.make(weights)
