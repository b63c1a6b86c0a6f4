"""When the units of one call are done: a small simulation of the gateway's event loop and the machine's cores. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush


@dataclass(frozen=True)
class Part:
    """So long on the event loop, on a core, or just on the way."""

    where: str  # loop, core, way
    us: float


@dataclass
class _Servers:
    """Each takes one part at a time; the first that is free takes the next."""

    count: int
    free: list[float] = field(default_factory=list)

    def take(self, at: float, us: float) -> float:
        if len(self.free) < self.count:
            heappush(self.free, at + us)
            return at + us
        done = max(at, heappop(self.free)) + us
        heappush(self.free, done)
        return done


def finish_us(after: Mapping[str, frozenset[str]], parts: Mapping[str, Sequence[Part]], cores: int) -> float:
    """When the last unit is done. Each begins when all that it comes ``after`` are; parts that wait for the loop or a
    core get it in the order in which they come."""
    waits = {name: set(others) for name, others in after.items()}
    servers = {"loop": _Servers(1), "core": _Servers(max(1, cores)), "way": _Servers(len(parts) + 1)}
    coming: list[tuple[float, int, str, int]] = []  # at, tie, unit, which of its parts
    ties = iter(range(10**9))
    for name in parts:
        if not waits[name]:
            heappush(coming, (0.0, next(ties), name, 0))
    last = 0.0
    while coming:
        at, _, name, index = heappop(coming)
        if index < len(parts[name]):
            part = parts[name][index]
            heappush(coming, (servers[part.where].take(at, part.us), next(ties), name, index + 1))
            continue
        last = max(last, at)
        for other, others in waits.items():
            if name in others:
                others.discard(name)
                if not others:
                    heappush(coming, (at, next(ties), other, 0))
    return last
