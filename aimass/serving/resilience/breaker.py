"""A circuit breaker: after enough failures in a row a node is left alone for a while. Pure; time is passed in."""

from enum import IntEnum

from aimass.core.policies import Breaker as Rules


class BreakerState(IntEnum):
    """As metrics show it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Closed, it counts failures in a row; open, it lets nothing pass for ``reset_s``; half-open, one trial at a time,
    whose success closes it and whose failure opens it again (M. Nygard, *Release It!*, 2007).

    What was let in before the state last changed says nothing about the node now, and is not heard any more.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._failures = 0
        self._opened_s = 0.0
        self._is_open = False
        self._on_trial = False
        self._era = 0

    def state(self, now: float) -> BreakerState:
        """``now``: monotonic seconds, here and below."""
        if not self._is_open:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self.left_s(now) <= 0 else BreakerState.OPEN

    def left_s(self, now: float) -> float:
        """Seconds until an open one lets a trial pass; 0 when it would now."""
        return max(0.0, self._opened_s + self._rules.reset_s - now) if self._is_open else 0.0

    def enter(self, now: float) -> int | None:
        """A ticket for one try, to be given back by ``leave``; None: the node is to be left alone."""
        if self._is_open:
            if self._on_trial or self.left_s(now) > 0:
                return None
            self._on_trial = True
        return self._era

    def leave(self, ticket: int, worked: bool | None, now: float) -> None:
        """How the try went; None: it was given up, which says nothing about the node."""
        if ticket != self._era:
            return
        if worked is None:
            self._on_trial = False
        elif worked:
            if self._is_open:
                self._change(is_open=False)
            self._failures = 0
        else:
            self._failures += 1
            if self._is_open or self._failures >= self._rules.failures:
                self._opened_s = now
                self._change(is_open=True)

    def _change(self, is_open: bool) -> None:
        self._is_open = is_open
        self._on_trial = False
        self._failures = 0
        self._era += 1
