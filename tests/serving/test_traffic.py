"""Traffic policies against the kit, and what each promises beyond it."""

from typing import Any

import pytest

from aimass.core import plugins
from aimass.core.errors import Invalid
from aimass.serving.traffic import TRAFFIC
from aimass.serving.traffic.base import Traffic, Weights
from aimass.serving.traffic.making import make_traffic, sticks
from aimass.serving.traffic.steps import StepsTraffic
from aimass.serving.traffic.sticky import StickyTraffic
from aimass.serving.traffic.thompson import ThompsonTraffic
from aimass.serving.traffic.weighted import WeightedTraffic
from aimass.testing.traffic import TrafficConformance


@pytest.mark.parametrize("key", TRAFFIC)
def test_the_kit_covers_every_policy(key: str) -> None:
    assert plugins.load(TRAFFIC, key) in {WeightedTraffic, StickyTraffic, StepsTraffic, ThompsonTraffic}


class TestWeighted(TrafficConformance):
    def make(self, weights: Weights, before: Weights | None = None) -> Traffic:
        return WeightedTraffic(weights, {}, before)


class TestSticky(TrafficConformance):
    def make(self, weights: Weights, before: Weights | None = None) -> Traffic:
        return StickyTraffic(weights, {"by": "header:x-user"}, before)


class TestSteps(TrafficConformance):
    def make(self, weights: Weights, before: Weights | None = None) -> Traffic:
        return StepsTraffic(weights, {"every_s": 1.0}, before)


class TestThompson(TrafficConformance):
    def make(self, weights: Weights, before: Weights | None = None) -> Traffic:
        return ThompsonTraffic(weights, {"least": 3}, before)


class TestThompsonOfAnyRewards(TrafficConformance):
    def make(self, weights: Weights, before: Weights | None = None) -> Traffic:
        return ThompsonTraffic(weights, {"least": 3, "posterior": "normal"}, before)


def test_steps_go_the_whole_way_one_at_a_time() -> None:
    traffic = make_traffic("steps", {8: 100.0}, {"steps": [1, 5, 25, 100], "every_s": 60}, {7: 100.0})
    seen = [traffic.shares(at).get(8) for at in (0, 59.9, 60, 119, 120, 180, 1e6)]
    assert seen == [1, 1, 5, 5, 25, 100, 100]
    assert traffic.shares(120) == {7: 75.0, 8: 25.0}


def test_steps_between_two_splits_mix_them() -> None:
    traffic = make_traffic("steps", {7: 20.0, 8: 80.0}, {"steps": [50, 100]}, {6: 40.0, 7: 60.0})
    assert traffic.shares() == pytest.approx({6: 20, 7: 40, 8: 40})


@pytest.mark.parametrize(
    ("policy", "options", "said"),
    [
        ("weighted", {"by": "key"}, "no option 'by'"),
        ("sticky", {}, "by what"),
        ("sticky", {"by": "cookie:x"}, "header:NAME"),
        ("sticky", {"by": "header:"}, "header:NAME"),
        ("sticky", {"by": "key:x"}, "header:NAME"),
        ("sticky", {"by": 3}, "header:NAME"),
        ("steps", {"steps": [1, 50]}, "rise to 100"),
        ("steps", {"steps": [50, 1, 100]}, "rise to 100"),
        ("steps", {"steps": []}, "rise to 100"),
        ("steps", {"steps": 5}, "rise to 100"),
        ("steps", {"every_s": 0}, "every_s"),
        ("steps", {"every_s": True}, "every_s"),
        ("thompson", {"floor": 60}, "from 0 to 50"),
        ("thompson", {"least": 1}, "from 2 on"),
        ("thompson", {"posterior": "cauchy"}, "beta or normal"),
        ("os:system", {}, "no Traffic that can be used"),
        ("coin", {}, "unknown 'coin'"),
    ],
)
def test_options_that_make_no_sense_are_refused(policy: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        make_traffic(policy, {1: 50.0, 2: 50.0}, options)


def test_weighted_traffic_whose_callers_stick_is_sticky() -> None:
    assert sticks("weighted", "key") == ("sticky", {"by": "key"})
    assert sticks("steps", "key") == ("steps", {"by": "key"})
    assert sticks("weighted", "") == ("weighted", {})
