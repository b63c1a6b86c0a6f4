"""What happens to a revision's nodes, counted in one replica: rows by port, failures, retries, stand-ins, breakers."""

from collections.abc import Callable, Iterator, Mapping
from threading import get_ident

from aimass.serving.resilience.breaker import BreakerState

Event = tuple[str, str, str]
"""(what happened, node, detail). Rows have the port that answered them, failures the error's kind or
``left_alone``, others no detail."""

CALLS, FAILURES, RETRIES, HEDGES, FALLBACKS, ROWS = "calls", "failures", "retries", "hedges", "fallbacks", "rows"
EVENTS: Mapping[str, tuple[str, str]] = {
    CALLS: ("Calls to a node.", ""),
    FAILURES: ("Calls to a node that failed in the end.", "kind"),
    RETRIES: ("Tries after one that failed.", ""),
    HEDGES: ("Tries beside one that took long.", ""),
    FALLBACKS: ("Calls to a node that its stand-in answered.", ""),
    ROWS: ("Rows that a port of a cascade or switch answered.", "port"),
}
"""What each is, and the name of its detail."""


class NodeCounts:
    """Added to from any thread without a lock: each has numbers of its own."""

    def __init__(self) -> None:
        self._by_thread: dict[int, dict[Event, int]] = {}
        self.breakers: dict[str, Callable[[], BreakerState]] = {}

    def add(self, what: str, node: str, detail: str = "", times: int = 1) -> None:
        """It happened so many times."""
        mine = self._by_thread.get(get_ident())
        if mine is None:
            mine = self._by_thread.setdefault(get_ident(), {})
        event = (what, node, detail)
        mine[event] = mine.get(event, 0) + times

    def clear(self) -> None:
        """Forget what a trial has counted."""
        self._by_thread.clear()

    def go_on_from(self, before: "NodeCounts") -> None:
        """Count on where those of the same revision stood when it was loaded before."""
        for (what, node, detail), times in before.totals():
            self.add(what, node, detail, times)

    def totals(self) -> Iterator[tuple[Event, int]]:
        """What happened, and how often."""
        total: dict[Event, int] = {}
        for counts in list(self._by_thread.values()):
            for event, times in list(counts.items()):
                total[event] = total.get(event, 0) + times
        yield from total.items()
