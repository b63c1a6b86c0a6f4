"""The breaker against a plain model of what it promises, under any order of calls, answers and times."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aimass.core.policies import Breaker as Rules
from aimass.serving.resilience.breaker import Breaker, BreakerState

RESET_S = 10.0


class Life(RuleBasedStateMachine):
    """The model keeps a list of what was heard, and decides by looking through it."""

    @initialize(failures=st.integers(1, 4))
    def begin(self, failures: int) -> None:
        self.failures = failures
        self.breaker = Breaker(Rules(failures, RESET_S))
        self.now = 1000.0
        self.opened_s: float | None = None
        self.row = 0  # failures since the last success
        self.out: list[tuple[int, Any]] = []  # ticket, and what it was let in for
        self.era = object()
        self.trial: Any = None

    @rule(seconds=st.sampled_from([0.1, 3.0, 9.9, 10.0, 50.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        ticket = self.breaker.enter(self.now)
        rests = self.opened_s is not None and self.now < self.opened_s + RESET_S
        busy = self.opened_s is not None and self.trial is not None
        assert (ticket is None) == (rests or busy)
        if ticket is not None:
            self.out.append((ticket, self.era))
            if self.opened_s is not None:
                self.trial = self.era

    @rule(worked=st.sampled_from([True, False, None]), which=st.integers(0, 5))
    def hear(self, worked: bool | None, which: int) -> None:
        if not self.out:
            return
        ticket, era = self.out.pop(which % len(self.out))
        self.breaker.leave(ticket, worked, self.now)
        if era is not self.era:
            return  # of a time that is over
        if self.opened_s is not None:
            self.trial = None
            if worked is not None:
                self._turn(None if worked else self.now)
        elif worked:
            self.row = 0
        elif worked is False:
            self.row += 1
            if self.row == self.failures:
                self._turn(self.now)

    def _turn(self, opened_s: float | None) -> None:
        self.opened_s, self.row, self.trial, self.era = opened_s, 0, None, object()

    @invariant()
    def says_what_it_is(self) -> None:
        if not hasattr(self, "breaker"):
            return
        if self.opened_s is None:
            assert self.breaker.state(self.now) is BreakerState.CLOSED
            assert self.breaker.left_s(self.now) == 0
            return
        left = max(0.0, self.opened_s + RESET_S - self.now)
        assert self.breaker.left_s(self.now) == left
        assert self.breaker.state(self.now) is (BreakerState.OPEN if left else BreakerState.HALF_OPEN)


class TestLife(Life.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
