"""Whose fault an error is, and whether the same call may be made again. Pure."""

from aimass.core.errors import AimassError, Bug, Kind, Unavailable

NODES = (Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.BUG)
PASSING = (Kind.UNAVAILABLE, Kind.TIMEOUT)


class LeftAlone(Unavailable):
    """The node was not asked: its breaker is open."""


def fault_of(error: BaseException) -> str:
    """As failures are counted: what a breaker kept from a node is no failure that the node had."""
    return "left_alone" if isinstance(error, LeftAlone) else kind_of(error).value


def kind_of(error: BaseException) -> Kind:
    """An error that is none of ours is a bug."""
    return error.kind if isinstance(error, AimassError) else Bug.kind


def is_the_nodes(error: BaseException) -> bool:
    """The node failed, whatever it was asked. Every other error is the caller's to hear: no other try, no stand-in and
    no other member would make his rows right, and a node that says so is well."""
    return kind_of(error) in NODES


def is_passing(error: BaseException) -> bool:
    """Nobody answered, or not in time: fewer rows would not mend it, another try may."""
    return kind_of(error) in PASSING
