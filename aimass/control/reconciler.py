"""The reconciler: one detached actor that makes Serve and the replicas what the database says. Thin on purpose."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from aimass.control.pushing import PUSH_S, Overview, Pushed
from aimass.control.reconciling.applications import Applications
from aimass.control.reconciling.draining import Draining, start_draining
from aimass.control.reconciling.memory import Memory
from aimass.control.reconciling.nodes import NodeApplications, ServeArm
from aimass.control.reconciling.replicas import Replicas
from aimass.control.revisions.aside import charge
from aimass.core.clock import SystemClock
from aimass.core.platform_file import NAMESPACE, RECONCILER
from aimass.core.settings import Settings
from aimass.database.engine import open_database
from aimass.database.migrate import migrate
from aimass.gateway.state import ReplicaReport, SyncAnswer
from aimass.monitoring.process_log import keep_log

CPUS = 0.1
THREADS = 64  # calls at a time: a waiting deploy holds one
LOOK_S = 1.0
METRICS_S = 1.0

_log = logging.getLogger(__name__)


class Reconciler:
    """The actor's class; its methods run in threads. Everything it knows it can build again."""

    def __init__(self, settings: Settings) -> None:
        home = settings.home
        keep_log(home.logs, "reconciler")
        database = open_database(settings.database_url)
        migrate(database)
        self._database, self._home = database, home
        self._memory = Memory(database, home, SystemClock(), settings.gateway_min_replicas)
        self._memory.refresh()
        turns = threading.Lock()  # Serve's own code that describes applications is not made for two threads
        self._applications = Applications(settings, turns)
        self._replicas = Replicas()
        self._nodes = NodeApplications(ServeArm(home, turns), SystemClock())
        self._pushed = threading.Event()
        home.journal.mkdir(parents=True, exist_ok=True)
        start_draining(Draining(database, settings, SystemClock()))
        rest = threading.Event()  # never set
        for work, wake in (
            (self._keep_applications, rest),
            (self._keep_current, rest),
            (self._keep_nodes, self._pushed),
            (self._keep_aside, rest),
        ):
            threading.Thread(target=_for_ever, args=(work, wake), name=f"aimass{work.__name__}", daemon=True).start()

    def ping(self) -> bool:
        """Whether it has come up."""
        return True

    def sync(self, report: ReplicaReport) -> SyncAnswer:
        """What a replica has missed, its shares, and the mean load."""
        return self._memory.sync(report)

    def push(self, number: int) -> Pushed:
        """Send the state with this number, or a later one, to every replica."""
        if self._memory.number < number:
            self._memory.refresh()
        self._pushed.set()
        return self._push()

    def await_loaded(self, number: int, timeout_s: float) -> Pushed:
        """Who has loaded, or failed to load, everything that the state with this number names."""
        answers = self._replicas.broadcast("await_loaded", number, timeout_s=timeout_s)
        return self._memory.acknowledge(answers)

    def metrics(self) -> bytes:
        """The metrics of all replicas as text."""
        self._count()
        return self._memory.metrics()

    def overview(self) -> Overview:
        """The replicas, and what they have counted."""
        self._count()
        return self._memory.overview()

    def _push(self) -> Pushed:
        answers = self._replicas.broadcast("apply", self._memory.state, timeout_s=PUSH_S)
        return self._memory.acknowledge(answers)

    def _count(self) -> None:
        self._memory.count(self._replicas.broadcast("metrics_snapshot", timeout_s=METRICS_S))

    def _keep_applications(self) -> None:
        self._applications.ensure()

    def _keep_nodes(self) -> None:
        self._memory.tell_nodes(self._nodes.keep(*self._memory.needs()))

    def _keep_aside(self) -> None:
        """What killed its replica is written down within a second, and put aside before it can do so for ever."""
        for death in charge(self._database, self._home, SystemClock()):
            named = ", ".join(f"{suspect.service}/{suspect.revision}" for suspect in death.suspects)
            _log.warning("%s died of %s while it ran %s\n%s", death.process, death.signal, named, death.stack)
        if self._memory.refresh():
            self._push()

    def _keep_current(self) -> None:
        """What was stored without a push (its process died in between) reaches the replicas too."""
        if self._memory.refresh():
            self._push()
        self._count()
        self._memory.save()


def start(settings: Settings) -> None:
    """Create the actor, or find it alive, and wait until it is up. Ray must be initialised."""
    import ray

    actor = ray.remote(Reconciler).options(
        name=RECONCILER,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=CPUS,
        max_restarts=-1,
        max_concurrency=THREADS,
    )
    ray.get(actor.remote(settings).ping.remote())


def _for_ever(work: Callable[[], Any], wake: threading.Event) -> None:
    """Now and then, and whenever it is woken."""
    while True:
        try:
            work()
        except Exception:  # noqa: BLE001 - the next look tries again
            _log.exception("%s failed", work.__name__)
        wake.wait(LOOK_S)
        wake.clear()
