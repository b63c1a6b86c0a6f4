"""What every autoscaling policy is: figures in, a number of replicas out; bounds, steps and cool-down around it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from aimass.core.errors import Invalid

State = dict[str, float]
IN_FLIGHT = "in_flight"  # the figures that replicas report by `record_autoscaling_stats`
P95_S = "p95_s"
_KEPT = ("since", "most")


@dataclass(frozen=True)
class Figures:
    """What is known now: the replicas wanted so far, each reporting replica's calls in flight and 95th percentile of
    seconds per call, and calls that wait for a replica outside of all of them."""

    replicas: int
    in_flight: tuple[float, ...]
    p95_s: tuple[float, ...] = ()
    waiting: float = 0.0


@dataclass(frozen=True)
class Bounds:
    low: int
    high: int


class Autoscaling(ABC):
    """Pure: the state it must remember goes in and comes out, and so does the time.

    An instance is also a policy for Ray Serve (called with its context). Set Serve's own delays to 0 beside it:
    growing waits for nothing here, and shrinking for ``cooldown_s`` of quiet. ``max_step``: replicas that one decision
    adds or takes at most.
    """

    def __init__(self, cooldown_s: float = 10.0, max_step: int | None = None) -> None:
        if cooldown_s < 0:
            raise Invalid(f"cooldown_s must be 0 or more, not {cooldown_s}", field="cooldown_s")
        if max_step is not None and max_step < 1:
            raise Invalid(f"max_step must be 1 or more, not {max_step}", field="max_step")
        self._cooldown_s = cooldown_s
        self._max_step = max_step

    @final
    def decide(self, figures: Figures, state: State, bounds: Bounds, now: float) -> tuple[int, State]:
        """Replicas wanted at ``now`` (seconds since 1970 UTC), within ``bounds``, and the state for the next call.

        More at once; fewer only after less was enough for ``cooldown_s``, and then the most that was needed
        meanwhile. Where nobody runs, one replica comes as soon as a call waits.
        """
        current = figures.replicas
        wanted = self._decide(figures, now)
        want = current if wanted is None else math.ceil(wanted)
        if current == 0 and figures.waiting > 0:
            want = max(want, 1)
        want = min(max(want, bounds.low), bounds.high)
        if want >= current or current > bounds.high:
            return self._step(current, want, bounds), {}
        since, most = state.get("since", now), max(state.get("most", want), want)
        if now - since < self._cooldown_s:
            return current, {"since": since, "most": most}
        return self._step(current, int(most), bounds), {}

    @final
    def __call__(self, context: Any) -> tuple[int, State]:
        """Ray Serve's form of the same, on its ``AutoscalingContext``."""
        reported: Mapping[str, Mapping[Any, float]] = context.aggregated_metrics or {}
        figures = Figures(
            replicas=context.target_num_replicas,
            in_flight=tuple(reported.get(IN_FLIGHT, {}).values()),
            p95_s=tuple(reported.get(P95_S, {}).values()),
            waiting=float(context.total_queued_requests or 0.0),
        )
        bounds = Bounds(context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas)
        state = {name: context.policy_state[name] for name in _KEPT if name in context.policy_state}
        return self.decide(figures, state, bounds, context.current_time)

    def _step(self, current: int, want: int, bounds: Bounds) -> int:
        if self._max_step is None or current > bounds.high or current < bounds.low:
            return want
        return min(max(want, current - self._max_step), current + self._max_step)

    @abstractmethod
    def _decide(self, figures: Figures, now: float) -> float | None:
        """Replicas that these figures call for, None: as many as there are. Rounded up and bounded by the caller."""
