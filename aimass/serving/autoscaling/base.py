"""What every autoscaling policy is: figures in, a number of replicas out, with bounds and a cool-down around it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from aimass.core.errors import Invalid

State = dict[str, float]
IN_FLIGHT = "in_flight"  # the figure that replicas report by `record_autoscaling_stats`


@dataclass(frozen=True)
class Figures:
    """What is known now: the replicas wanted so far, and each reporting replica's calls in flight."""

    replicas: int
    in_flight: tuple[float, ...]


@dataclass(frozen=True)
class Bounds:
    low: int
    high: int


class Autoscaling(ABC):
    """Pure: the state it must remember goes in and comes out, and so does the time.

    An instance is also a policy for Ray Serve (called with its context). Set Serve's own delays to 0 beside it:
    growing waits for nothing here, and shrinking for ``cooldown_s`` of quiet.
    """

    def __init__(self, cooldown_s: float = 10.0) -> None:
        if cooldown_s < 0:
            raise Invalid(f"cooldown_s must be 0 or more, not {cooldown_s}", field="cooldown_s")
        self._cooldown_s = cooldown_s

    @final
    def decide(self, figures: Figures, state: State, bounds: Bounds, now: float) -> tuple[int, State]:
        """Replicas wanted, within ``bounds``, and the state for the next call.

        More at once; fewer only after less was enough for ``cooldown_s``, and then the most that was needed
        meanwhile. Nothing reported: as it is.
        """
        current = figures.replicas
        want = math.ceil(self._decide(figures)) if figures.in_flight else current
        want = min(max(want, bounds.low), bounds.high)
        if want >= current or current > bounds.high:
            return want, {}
        since, most = state.get("since", now), max(state.get("most", want), want)
        if now - since < self._cooldown_s:
            return current, {"since": since, "most": most}
        return int(most), {}

    @final
    def __call__(self, context: Any) -> tuple[int, State]:
        """Ray Serve's form of the same, on its ``AutoscalingContext``."""
        reported: Mapping[Any, float] = (context.aggregated_metrics or {}).get(IN_FLIGHT, {})
        figures = Figures(context.target_num_replicas, tuple(reported.values()))
        bounds = Bounds(context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas)
        state = {name: context.policy_state[name] for name in ("since", "most") if name in context.policy_state}
        return self.decide(figures, state, bounds, context.current_time)

    @abstractmethod
    def _decide(self, figures: Figures) -> float:
        """Replicas that these figures call for; ``in_flight`` is not empty. Rounded up and bounded by the caller."""
