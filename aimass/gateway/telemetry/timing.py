"""When a call's nodes ran: as its flow wrote down, or as far as their order and seconds tell."""

from dataclasses import dataclass
from itertools import accumulate

from aimass.core.events import Course, Trace

BESIDE = 1.05  # nodes whose times add up to more than that part of their run ran beside each other
CUT_OFF = "cut_off"  # the run ended before the node did


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One node's part of a run, in seconds since that began. ``events``: (when, what, detail)."""

    name: str
    at_s: float
    seconds: float
    events: tuple[tuple[float, str, str], ...] = ()
    failure: str = ""  # the kind of its error


def node_times(trace: Trace) -> list[NodeTime]:
    """Without a flow: one behind the other where that fits into the run, else (they ran beside each other) all at its
    beginning."""
    if trace.course is not None:
        return [_of(name, trace.course, trace.run_s) for name in trace.course.node_at_s]
    took = list(trace.node_s.values())
    starts = [0.0] * len(took)
    if sum(took) <= BESIDE * trace.run_s:
        starts = list(accumulate(took[:-1], initial=0.0))
    return [NodeTime(name, at, seconds) for (name, seconds), at in zip(trace.node_s.items(), starts, strict=False)]


def _of(name: str, course: Course, run_s: float) -> NodeTime:
    """A node that gave no answer lasted until it failed, or until nobody waited for it any more."""
    at = course.node_at_s[name]
    events = tuple((when, what, detail) for when, what, node, detail in course.events if node == name)
    seconds = course.node_s.get(name)
    if seconds is not None:
        return NodeTime(name, at, seconds, events)
    why = next((detail for _, what, detail in events if what == "failure"), CUT_OFF)
    until = max(at, run_s) if why == CUT_OFF else events[-1][0]
    return NodeTime(name, at, until - at, events, why)
