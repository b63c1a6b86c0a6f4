"""How a stored change reaches the replicas: through the reconciler, and past it while it does not answer."""

import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aimass.control.state import build_state
from aimass.core.home import write_whole
from aimass.core.platform_file import NAMESPACE, RECONCILER
from aimass.core.settings import Settings
from aimass.database.engine import Database
from aimass.gateway.metrics import Snapshot
from aimass.gateway.state import ReplicaReport
from aimass.serving.nodes.wire import NodesState

PROMPT_S = 0.3  # the reconciler needs some 10 ms to push; one that is dead needs seconds to come back
PUSH_S = 2.0  # a replica that is slower than this to acknowledge is named, and pulls the state by itself
PATIENCE_S = 15.0  # the reconciler, when it dies, is back within some seconds
MARGIN_S = 5.0  # what a call to the reconciler may take beside the wait that it was asked for
OVERVIEW_S = 7.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pushed:
    """Who acknowledged a number. A replica that starts later, or stays silent now, pulls it within seconds."""

    reports: tuple[ReplicaReport, ...] = ()
    silent: tuple[str, ...] = ()  # live replicas that did not answer
    is_away: bool = False  # the reconciler itself did not answer


@dataclass(frozen=True, kw_only=True)
class Acknowledged:
    """What stands now of a service that was changed. ``silent`` replicas pull the change within seconds."""

    service: str
    message: str
    replicas: int  # that have acknowledged it
    silent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Overview:
    """The fleet at one moment."""

    number: int
    reports: tuple[ReplicaReport, ...]
    counts: Snapshot  # of all replicas, gone ones too
    nodes: Mapping[str, NodesState] = field(default_factory=dict)  # by the application of their revision
    gateway: tuple[int, int] | None = None  # replicas that Serve aims at, and that run
    doings: tuple[tuple[float, str], ...] = ()  # what the reconciler did of late by itself: (time of day, what)

    def ready(self, service: str, revisions: Iterable[int]) -> int:
        """How many replicas have loaded all of these revisions."""
        names = {(service, number) for number in revisions}
        return sum(names <= set(report.loaded) for report in self.reports)

    def resident(self, service: str, revisions: Iterable[int]) -> int:
        """How many replicas hold all of these revisions in memory; in others the next call loads them."""
        names = {(service, number) for number in revisions}
        return sum(names <= set(report.loaded) - set(report.asleep) for report in self.reports)

    def held(self, service: str, revisions: Iterable[int]) -> list[str]:
        """Why replicas have these revisions of the service in quarantine."""
        names = [f"{service}/{number}" for number in revisions]
        return sorted({report.held[name] for report in self.reports for name in names if name in report.held})

    def failures(self, service: str, revisions: Iterable[int]) -> list[str]:
        """Why replicas cannot load these revisions of the service; they try again by themselves."""
        names = [f"{service}/{number}" for number in revisions]
        return sorted({report.failed[name] for report in self.reports for name in names if name in report.failed})


class StatePusher(Protocol):
    """Never raises: what is stored stays stored, whoever listens."""

    def push(self, number: int) -> Pushed:
        """Bring the live replicas to this state number, or a later one."""

    def await_loaded(self, number: int, timeout_s: float) -> Pushed:
        """Wait until each live replica has that state, and each of its revisions is loaded or has failed."""

    def overview(self) -> Overview | None:
        """None while nobody can be asked."""


class Broadcast(Protocol):
    """See ``reconciling.replicas``."""

    def __call__(self, method: str, *arguments: object, timeout_s: float) -> list[object]: ...


class ReconcilerPusher:
    """Asks the reconciler actor, which knows who is silent.

    While the actor does not answer a push, replicas get the state from here: a revoked key waits for nobody. That a
    number reaches them twice, or late, does no harm.
    """

    def __init__(self, settings: Settings, database: Database, broadcast: Broadcast) -> None:
        self._settings = settings
        self._database = database
        self._broadcast = broadcast

    def push(self, number: int) -> Pushed:
        asked = self._start("push", number)
        return self._end(asked, PROMPT_S) or self._push_past(asked)

    def await_loaded(self, number: int, timeout_s: float) -> Pushed:
        """Asked again while the actor restarts: it alone can say that nobody was left out."""
        until = time.monotonic() + PATIENCE_S
        while True:
            found: Pushed | None = self._end(self._start("await_loaded", number, timeout_s), timeout_s + MARGIN_S)
            if found is not None:
                return found
            if time.monotonic() >= until:
                return Pushed(is_away=True)
            time.sleep(0.2)

    def overview(self) -> Overview | None:
        found: Overview | None = self._end(self._start("overview"), OVERVIEW_S)
        return found

    def _push_past(self, asked: Any) -> Pushed:
        with self._database.reading() as session:
            # A new key's share supposes that every replica runs, so that no rate is overshot meanwhile.
            state = build_state(session, self._settings.gateway_max_replicas)
        data = state.dumps()
        with contextlib.suppress(OSError):  # a full disk keeps no replica from the state
            write_whole(self._settings.home.state_file, data)  # for replicas that start now
        answers = self._broadcast("apply", data, timeout_s=PUSH_S)
        late: Pushed | None = self._end(asked, 0.0)
        if late is not None:
            return late
        reports = tuple(answer for answer in answers if isinstance(answer, ReplicaReport))
        _log.warning("the reconciler is away; state %d went to %d replicas without it", state.number, len(reports))
        return Pushed(reports, is_away=True)

    @staticmethod
    def _start(method: str, *arguments: object) -> Any:
        """The call under way; none where there is no such actor."""
        import ray
        from ray.exceptions import RayError

        try:
            return getattr(ray.get_actor(RECONCILER, NAMESPACE), method).remote(*arguments)
        except (RayError, ValueError) as error:  # ValueError: no such actor
            _log.warning("the reconciler cannot be asked to %s: %s", method, error)
            return None

    @staticmethod
    def _end(asked: Any, timeout_s: float) -> Any:
        """What came back within the time; none if nothing did."""
        import ray
        from ray.exceptions import RayError

        if asked is None:
            return None
        try:
            return ray.get(asked, timeout=timeout_s)
        except RayError as error:
            _log.debug("the reconciler did not answer: %s", error)
            return None
