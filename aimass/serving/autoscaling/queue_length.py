"""Autoscaling by queue length: as many replicas as bring each one's calls in flight down to a target."""

from aimass.core.errors import Invalid
from aimass.serving.autoscaling.base import Autoscaling, Figures


class QueueLength(Autoscaling):
    """``target``: calls in flight per replica, waiting ones included."""

    def __init__(self, target: float, cooldown_s: float = 10.0, max_step: int | None = None) -> None:
        super().__init__(cooldown_s, max_step)
        if target <= 0:
            raise Invalid(f"target must be above 0, not {target}", field="target")
        self._target = target

    def _decide(self, figures: Figures, now: float) -> float | None:
        if not figures.in_flight:
            return None
        return (sum(figures.in_flight) + figures.waiting) / self._target
