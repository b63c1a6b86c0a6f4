"""Autoscaling by latency: more replicas while the 95th percentile is above a target, fewer when it is well below."""

from aimass.core.errors import Invalid
from aimass.serving.autoscaling.base import Autoscaling, Figures

TOLERANCE = 0.1  # of the ratio, as Kubernetes' horizontal pod autoscaler has it
IDLE = 0.1  # calls in flight per replica below which a percentile says nothing about load


class Latency(Autoscaling):
    """``target_ms``: the 95th percentile to keep to.

    Replicas times measured over target, the formula of Kubernetes' horizontal pod autoscaler, with its tolerance. A
    latency of its own does not fall with more replicas once nobody waits: so it never asks for more replicas than there
    are calls in flight, nor for fewer than as many calls in flight as ``busy`` per replica need.
    """

    def __init__(
        self, target_ms: float, busy: float = 1.0, cooldown_s: float = 10.0, max_step: int | None = None
    ) -> None:
        super().__init__(cooldown_s, max_step)
        if target_ms <= 0:
            raise Invalid(f"target_ms must be above 0, not {target_ms}", field="target_ms")
        if busy <= 0:
            raise Invalid(f"busy must be above 0, not {busy}", field="busy")
        self._target_s = target_ms / 1e3
        self._busy = busy

    def _decide(self, figures: Figures, now: float) -> float | None:
        if not figures.in_flight or not figures.p95_s:
            return None
        calls = sum(figures.in_flight) + figures.waiting
        if calls < IDLE * len(figures.in_flight):
            return 0.0
        ratio = max(figures.p95_s) / self._target_s
        if abs(ratio - 1) <= TOLERANCE:
            return figures.replicas
        if ratio > 1:
            return max(figures.replicas, min(figures.replicas * ratio, calls))
        return min(figures.replicas, max(figures.replicas * ratio, calls / self._busy))
