"""What every autoscaling policy must do: subclass ``AutoscalingConformance`` and say how to make yours."""

from abc import ABC, abstractmethod

import pytest

from aimass.core.errors import Invalid
from aimass.serving.autoscaling.base import Autoscaling, Bounds, Figures, State

BOUNDS = Bounds(1, 8)
BUSY = 1e6  # calls in flight per replica, and seconds per call: more than any target
COOLDOWN_S = 10.0
QUIET_DAY = 0.0  # midnight, the first of January 1970 in UTC: no hour that a schedule of yours should hold more for


def figures(replicas: int, load: float) -> Figures:
    """Every replica under the same load: calls in flight, and seconds per call."""
    return Figures(replicas, (load,) * replicas, (load,) * replicas)


class AutoscalingConformance(ABC):
    """Collected by pytest in its subclasses."""

    @abstractmethod
    def make(self, cooldown_s: float) -> Autoscaling:
        """A policy with this cool-down."""

    def test_load_without_end_stops_at_the_bound(self) -> None:
        wanted, _ = self.make(COOLDOWN_S).decide(figures(1, BUSY), {}, BOUNDS, QUIET_DAY)
        assert wanted == BOUNDS.high

    def test_no_load_shrinks_to_the_bound_after_the_cool_down(self) -> None:
        policy = self.make(COOLDOWN_S)
        state: State = {}
        sizes = []
        for second in range(12):
            wanted, state = policy.decide(figures(8, 0.0), state, BOUNDS, QUIET_DAY + second)
            sizes.append(wanted)
        assert sizes[:10] == [8] * 10
        assert sizes[10] == BOUNDS.low

    def test_a_moment_of_quiet_changes_nothing(self) -> None:
        policy = self.make(COOLDOWN_S)
        state: State = {}
        for second in range(100):
            load = BUSY if second % 9 == 0 else 0.0
            wanted, state = policy.decide(figures(8, load), state, BOUNDS, QUIET_DAY + second)
            assert wanted == 8

    def test_without_reports_it_stays_as_it_is(self) -> None:
        assert self.make(0.0).decide(Figures(3, ()), {}, BOUNDS, 0.0) == (3, {})

    def test_bounds_that_moved_are_kept_at_once(self) -> None:
        policy = self.make(COOLDOWN_S)
        assert policy.decide(figures(8, BUSY), {}, Bounds(1, 2), QUIET_DAY)[0] == 2
        assert policy.decide(figures(1, 0.0), {}, Bounds(4, 8), QUIET_DAY)[0] == 4

    def test_nobody_runs_until_somebody_waits(self) -> None:
        policy = self.make(COOLDOWN_S)
        assert policy.decide(Figures(0, ()), {}, Bounds(0, 8), QUIET_DAY) == (0, {})
        assert policy.decide(Figures(0, (), waiting=1.0), {}, Bounds(0, 8), QUIET_DAY)[0] >= 1

    def test_the_last_replica_goes_where_none_may_be_left(self) -> None:
        assert self.make(0.0).decide(figures(1, 0.0), {}, Bounds(0, 8), QUIET_DAY)[0] == 0

    def test_the_same_input_gives_the_same_answer(self) -> None:
        policy, state = self.make(COOLDOWN_S), {"since": 1.0, "most": 2.0}
        seen = Figures(5, (1.0, 2.0), (0.1, 0.2))
        assert policy.decide(seen, state, BOUNDS, 5.0) == policy.decide(seen, state, BOUNDS, 5.0)
        assert state == {"since": 1.0, "most": 2.0}

    def test_a_negative_cool_down_is_refused(self) -> None:
        with pytest.raises(Invalid):
            self.make(-1.0)
