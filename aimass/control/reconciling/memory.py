"""What the reconciler knows: the newest state, and through the fleet every replica. No Ray, no threads of its own."""

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from aimass.control.pushing import Overview, Pushed
from aimass.control.reconciling import counters
from aimass.control.state import build_state
from aimass.core.clock import Clock
from aimass.core.home import Home, write_whole
from aimass.core.ids import RevisionId
from aimass.database import state_number
from aimass.database.engine import Database
from aimass.gateway.fleet.fleet import Fleet
from aimass.gateway.metrics import Snapshot
from aimass.gateway.state import GatewayState, ReplicaReport, SyncAnswer
from aimass.serving.nodes.wire import NodesState

FORGET_S = 600.0  # a replica that is silent for so long is dead, not slow: its counters move into the kept sum


class Memory:
    """Safe to use from many threads."""

    def __init__(self, database: Database, home: Home, clock: Clock, replicas: int) -> None:
        self._database = database
        self._state_file = home.state_file
        self._counters_file = home.path / "counters.json"
        self._clock = clock
        self._replicas = replicas  # expected before any has reported
        self._lock = threading.RLock()
        self._fleet = Fleet()
        self._heard: dict[str, float] = {}
        self._saved: dict[str, Snapshot] = {}
        self._nodes: Mapping[str, NodesState] = {}
        self._state = GatewayState(0)
        self._data = self._state.dumps()
        for replica, snapshot in counters.restore(self._counters_file).items():
            self._fleet.remember(replica, snapshot)
            self._heard[replica] = clock.monotonic()

    @property
    def number(self) -> int:
        return self._state.number

    def needs(self) -> tuple[GatewayState, set[RevisionId]]:
        """The newest state, and the revisions that live replicas have loaded."""
        with self._lock:
            live = self._fleet.live(self._clock.monotonic())
            return self._state, {revision for report in live for revision in report.loaded}

    def tell_nodes(self, nodes: Mapping[str, NodesState]) -> None:
        """How the applications of fan-out nodes stand; replicas hear of it with their next report."""
        self._nodes = nodes

    @property
    def state(self) -> bytes:
        """The newest state, as it travels."""
        return self._data

    def refresh(self) -> bool:
        """Build the state anew if the database has a later number; whether it had.

        The file is for replicas that start while nobody answers; without it (a full disk) the rest goes on.
        """
        with self._lock:
            with self._database.reading() as session:
                if state_number.current(session) == self._state.number:
                    return False
                live = len(self._fleet.live(self._clock.monotonic()))
                state = build_state(session, max(live, self._replicas))
            self._state, self._data = state, state.dumps()
            with suppress(OSError):
                write_whole(self._state_file, self._data)
            return True

    def sync(self, report: ReplicaReport) -> SyncAnswer:
        """The answer to a replica's report of every second."""
        with self._lock:
            now = self._clock.monotonic()
            self._heard[report.replica] = now
            answer = self._fleet.answer(report, self._state.number, self._data, now)
            return replace(answer, nodes=self._nodes)

    def acknowledge(self, answers: Iterable[object]) -> Pushed:
        """What a broadcast brought back: reports, and errors in place of those that failed or were too slow."""
        reports = tuple(answer for answer in answers if isinstance(answer, ReplicaReport))
        with self._lock:
            now = self._clock.monotonic()
            live = {report.replica for report in self._fleet.live(now)}
            for report in reports:
                self._heard[report.replica] = now
                self._fleet.hear(report, now)
        return Pushed(reports, tuple(sorted(live - {report.replica for report in reports})))

    def count(self, answers: Iterable[object]) -> None:
        """Take in what replicas counted: (replica, snapshot), and errors in place of those that failed."""
        with self._lock:
            now = self._clock.monotonic()
            for answer in answers:
                if isinstance(answer, tuple):
                    replica, snapshot = answer
                    self._heard[replica] = now
                    self._fleet.remember(replica, snapshot)
            for replica in [name for name, at in self._heard.items() if now - at > FORGET_S]:
                del self._heard[replica]
                self._fleet.forget(replica)

    def save(self) -> None:
        """Keep the counts for the next reconciler, if they have changed."""
        with self._lock:
            kept = self._fleet.kept()
        if kept != self._saved and counters.save(self._counters_file, kept):
            self._saved = kept

    def metrics(self) -> bytes:
        """The counts of all replicas, gone ones too, in Prometheus' text format."""
        with self._lock:
            return self._fleet.text(self._clock.monotonic())

    def overview(self) -> Overview:
        with self._lock:
            now = self._clock.monotonic()
            return Overview(self._state.number, tuple(self._fleet.live(now)), self._fleet.total(now), self._nodes)
