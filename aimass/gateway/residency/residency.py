"""The memory of one replica's plans: what each holds, which are pinned, and whether one more has room."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from aimass.core.errors import Invalid
from aimass.core.ids import RevisionId
from aimass.gateway.metrics import Metrics
from aimass.gateway.residency.asleep import Plan
from aimass.gateway.residency.order import Resident, to_let_go

MIB = 2**20
Exchanged = Callable[[RevisionId, Plan], None]
"""The plan of this revision was let go, or is here again: calls go to this one now."""


@dataclass(frozen=True)
class _Held:
    size_bytes: int
    is_bound: bool  # to nodes elsewhere: it holds little here, and is not let go


class Residency:
    """Used from one event loop; knows sizes and times, no plans."""

    def __init__(self, metrics: Metrics, bound_bytes: float = math.inf, exchanged: Exchanged = lambda *_: None) -> None:
        self._metrics = metrics
        self.bound_bytes = bound_bytes
        self.exchanged = exchanged
        self._held: dict[RevisionId, _Held] = {}
        self._pinned: set[RevisionId] = set()

    @property
    def total_bytes(self) -> int:
        """What all of them hold."""
        return sum(held.size_bytes for held in self._held.values())

    def pin(self, names: set[RevisionId]) -> None:
        """These are not let go from now on; all others may be."""
        self._pinned = names

    def is_pinned(self, name: RevisionId) -> bool:
        return name in self._pinned

    def check(self, name: RevisionId, size_bytes: int) -> None:
        """``Invalid`` when the plan would not fit even if all but the pinned ones went."""
        others = {other: held for other, held in self._held.items() if other in self._pinned and other != name}
        taken = sum(held.size_bytes for held in others.values())
        if taken + size_bytes <= self.bound_bytes:
            return
        beside = f" beside {_named(others)}, pinned, with {_mib(taken)}" if others else ""
        unpin = ", or unpin some of them" if others else ""
        raise Invalid(
            f"it needs {_mib(size_bytes)} of memory in each gateway replica{beside}; AIMASS_GATEWAY_MEMORY_BYTES "
            f"allows {_mib(self.bound_bytes)} in all: raise it{unpin}"
        )

    def hold(self, name: RevisionId, size_bytes: int, is_bound: bool, now_s: float) -> None:
        """It is in memory, and counts as used now."""
        series = self._metrics.series(*name)
        series.resident_bytes, series.used_s = size_bytes, now_s
        self._held[name] = _Held(size_bytes, is_bound)

    def leave(self, name: RevisionId, is_evicted: bool = False) -> int:
        """It is not in memory any more; the bytes that it held."""
        held = self._held.pop(name, None)
        if held is None:
            return 0
        series = self._metrics.series(*name)
        series.resident_bytes = 0
        series.evictions += is_evicted
        return held.size_bytes

    def surplus(self, wanted_bytes: int = 0) -> list[RevisionId]:
        """Whom to let go so that so much more fits; never one that is pinned or that a call is using."""
        if self.total_bytes + wanted_bytes <= self.bound_bytes:
            return []
        residents = []
        for name, held in self._held.items():
            series = self._metrics.series(*name)
            stays = held.is_bound or name in self._pinned or series.in_flight > 0
            residents.append(Resident(name, held.size_bytes, series.used_s, stays))
        return to_let_go(residents, self.bound_bytes - wanted_bytes)

    def cold(self, name: RevisionId, seconds: float) -> None:
        """It was loaded again for a call, and took so long."""
        self._metrics.series(*name).load_cold(seconds)


def _named(names: dict[RevisionId, _Held]) -> str:
    first = [f"{service}/{number}" for service, number in sorted(names)[:5]]
    more = f" and {len(names) - len(first)} more" if len(names) > len(first) else ""
    return ", ".join(first) + more


def _mib(size_bytes: float) -> str:
    return f"{size_bytes / MIB:,.1f} MiB"
