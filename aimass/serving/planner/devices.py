"""How many GPUs the replicas of deployments fill, when each takes a part of one. Pure."""

from collections.abc import Iterable

from aimass.core.policies import NodeScale

_GRAIN = 1e-4  # the finest part that Ray tells apart


def gpus_needed(scales: Iterable[NodeScale]) -> int:
    """Whole GPUs for as many replicas as are allowed, none of which can be cut: the largest first, where they fit."""
    parts = sorted((scale.gpus for scale in scales for _ in range(max(1, scale.max)) if scale.gpus), reverse=True)
    free: list[float] = []
    for part in parts:
        fits = next((index for index, left in enumerate(free) if left >= part - _GRAIN), None)
        if fits is None:
            free.append(1.0 - part)
        else:
            free[fits] -= part
    return len(free)
