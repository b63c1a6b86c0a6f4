"""A replica's guard: looks at its figures once a second, and puts a gate before a service that its neighbours suffer
from."""

import logging
from collections.abc import Callable, Mapping

from aimass.core.clock import Clock
from aimass.core.ids import RevisionId
from aimass.gateway.quarantine.gate import Gate
from aimass.gateway.quarantine.judge import Judge, Look, Term
from aimass.gateway.routes import Table, Target
from aimass.gateway.state import GatewayState

_log = logging.getLogger(__name__)


class Guard:
    """Used from one event loop. ``spent``: processor seconds that each revision has used so far."""

    def __init__(self, spent: Callable[[], Mapping[RevisionId, float]], clock: Clock) -> None:
        self._spent = spent
        self._clock = clock
        self._judge = Judge()
        self._gates: dict[RevisionId, Gate] = {}
        self._lag_s, self._lags = 0.0, 0  # in all, of how many timers
        self._looked_at = clock.monotonic()
        self._before: dict[RevisionId, tuple[float, int, float]] = {}  # spent, answered, seconds

    @property
    def held(self) -> dict[str, str]:
        """Who is held back here, by "service/revision", and why."""
        return {f"{service}/{revision}": term.why for (service, revision), term in self._judge.held.items()}

    def sample_lag(self, seconds: float) -> None:
        """How late a timer of the event loop was."""
        self._lag_s, self._lags = self._lag_s + seconds, self._lags + 1

    def look(self, table: Table) -> None:
        """Judge what has happened since the last look."""
        now = self._clock.monotonic()
        elapsed_s = now - self._looked_at
        if elapsed_s <= 0:
            return
        before = set(self._judge.held)
        self._judge.look(self._seen(table, elapsed_s), now)
        self._looked_at, self._lag_s, self._lags = now, 0.0, 0
        for name in before - set(self._judge.held):
            _log.warning("revision %s of service %s is out of quarantine, on probation", name[1], name[0])
        for name, term in self._judge.held.items():
            if name not in before:
                _log.warning(
                    "revision %s of service %s is in quarantine for %.0f s: %s",
                    name[1],
                    name[0],
                    term.length_s,
                    term.why,
                )
        self.bind(table)

    def bind(self, table: Table) -> None:
        """Put the gates before the targets of this table, and take those away whose term is over."""
        held = self._judge.held
        self._gates = {name: self._gates.get(name) or self._gate(name, term) for name, term in held.items()}
        for target in _targets(table):
            target.gate = self._gates.get((target.service, target.revision))

    def _gate(self, name: RevisionId, term: Term) -> Gate:
        return Gate(name, term, lambda: self._spent().get(name, 0.0), self._clock)

    def _seen(self, table: Table, elapsed_s: float) -> Look:
        use, calls, seconds = {}, {}, {}
        spent, known = self._spent(), self._before
        self._before = {}
        asked = {max(service.targets.values(), key=_asked) for service in table.services.values() if service.targets}
        for target in _targets(table):
            name = (target.service, target.revision)
            here = (spent.get(name, 0.0), target.series.answered, target.series.seconds_sum)
            then = known.get(name, here)
            self._before[name] = here
            under_way = float(target.slot.running) if target in asked else 0.0  # calls that have not ended
            use[name] = (here[0] - then[0]) / elapsed_s or under_way
            calls[name] = (here[1] - then[1]) / elapsed_s
            if here[1] > then[1]:
                seconds[name] = (here[2] - then[2]) / (here[1] - then[1])
        lag_s = self._lag_s / self._lags if self._lags else elapsed_s
        return Look(lag_s, use, calls, seconds)


def quarantined(state: GatewayState, held: Mapping[str, str]) -> dict[tuple[str, ...], float]:
    """Who is held back in a replica, as its metrics have it: service, revision, and why in a word."""
    found = {(*name.rsplit("/", 1), "hog"): 1.0 for name in held}
    for service in state.services:
        found |= {(service.name, str(item.number), "crash"): 1.0 for item in service.revisions if item.aside}
    return found


def _asked(target: Target) -> tuple[float, float]:
    """Of a service's revisions, whose threads are one, the one with the most of this has the calls under way there."""
    return target.series.in_flight, target.series.used_s


def _targets(table: Table) -> list[Target]:
    return [target for service in table.services.values() for target in service.targets.values()]
