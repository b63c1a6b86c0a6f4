"""Who goes when memory is short. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from aimass.core.ids import RevisionId


@dataclass(frozen=True)
class Resident:
    """A plan in memory."""

    name: RevisionId
    size_bytes: int
    used_s: float  # when a call last ran on it; monotonic
    stays: bool = False  # pinned, in use, or not one that could be loaded again alone


def to_let_go(residents: Iterable[Resident], bound_bytes: float) -> list[RevisionId]:
    """The least recently used, one after the other, until the rest fits the bound or all that is left stays."""
    there = list(residents)
    over = sum(one.size_bytes for one in there) - bound_bytes
    going = []
    for one in sorted((one for one in there if not one.stays), key=lambda one: (one.used_s, one.name)):
        if over <= 0:
            break
        over -= one.size_bytes
        going.append(one.name)
    return going
