"""Traffic policies against the kit, and what weighted traffic promises beyond it."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core import plugins
from aimass.serving.traffic import TRAFFIC
from aimass.serving.traffic.base import Traffic, point
from aimass.serving.traffic.making import make_traffic
from aimass.serving.traffic.weighted import WeightedTraffic
from aimass.testing.traffic import TrafficConformance


@pytest.mark.parametrize("key", TRAFFIC)
def test_the_kit_covers_every_policy(key: str) -> None:
    assert plugins.load(TRAFFIC, key) in {WeightedTraffic}


def test_what_the_gateway_takes_is_of_the_table() -> None:
    assert make_traffic({3: 100.0}).choose("any") == 3


class TestWeighted(TrafficConformance):
    def make(self, weights: Mapping[int, float]) -> Traffic:
        return WeightedTraffic(weights)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any), st.text())
def test_any_weights_choose_a_revision_with_weight(parts: list[int], key: str) -> None:
    weights = {number: part * 100 / sum(parts) for number, part in enumerate(parts, start=1)}
    assert weights[WeightedTraffic(weights).choose(key)] > 0


@given(st.text())
def test_points_lie_in_the_unit_interval(key: str) -> None:
    assert 0 <= point(key) < 1
