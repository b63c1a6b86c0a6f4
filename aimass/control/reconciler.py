"""The reconciler: one detached actor that makes Serve and the replicas what the database says. Thin on purpose."""

import logging
import threading
from dataclasses import replace
from functools import partial
from typing import Any

from aimass.control.context import Context
from aimass.control.jobs import RayJobs
from aimass.control.leases.lease import LEADER, RENEW_S, Lease
from aimass.control.leases.turns import Turns
from aimass.control.operating.sizing import bounds
from aimass.control.pushing import PUSH_S, Overview, Pushed
from aimass.control.reconciling.applications import Applications
from aimass.control.reconciling.doings import Doings
from aimass.control.reconciling.draining import Draining, start_draining
from aimass.control.reconciling.memory import Memory
from aimass.control.reconciling.nodes import NodeApplications, ServeArm
from aimass.control.reconciling.repair import repair
from aimass.control.reconciling.replicas import Replicas
from aimass.control.reconciling.sweeping import SWEEP_S, sweep
from aimass.control.reconciling.works import Work, start_works
from aimass.control.requests.payloads import TEND_S, tend
from aimass.control.revisions.aside import charge
from aimass.control.rollouts.driving import LOOK_S as ROLLOUTS_S
from aimass.control.rollouts.driving import Rollouts
from aimass.control.traffic.following import Following
from aimass.core.clock import SystemClock
from aimass.core.platform_file import NAMESPACE, RECONCILER
from aimass.core.settings import Settings
from aimass.database.engine import open_database
from aimass.database.migrate import migrate
from aimass.gateway.state import ReplicaReport, SyncAnswer
from aimass.monitoring.process_log import keep_log
from aimass.storage.opening import open_store

CPUS = 0.1
THREADS = 64  # calls at a time: a waiting deploy holds one
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
        self._settings, self._doings = settings, Doings(SystemClock())
        self._applications = Applications(settings, turns)
        self._replicas = Replicas()
        self._nodes = NodeApplications(ServeArm(home, turns), SystemClock(), self._doings.say)
        self._pushed = threading.Event()
        home.journal.mkdir(parents=True, exist_ok=True)
        clock = SystemClock()
        self._context = Context(
            settings,
            database,
            open_store(home),
            clock,
            self,
            RayJobs(home),
            Turns(database, clock),
            who="reconciler",
            is_operator=True,
        )
        self._lease = Lease(database, LEADER, clock)
        self._lease.keep()
        start_draining(Draining(database, settings, clock), self._lease.holds)
        start_works(self._works(), self._lease)

    def _works(self) -> list[Work]:
        """Everything that it does by itself. One that acts alone ``needs_lease``, so that no two ever act at once."""
        return [
            Work("lease", self._lease.keep, needs_lease=False, every_s=RENEW_S),
            Work("current", self._keep_current, needs_lease=False),
            Work("payloads", partial(tend, self._context), needs_lease=True, every_s=TEND_S),
            Work("aside", self._keep_aside, needs_lease=False),
            Work("traffic", Following(self._context, self._lease).keep, needs_lease=True),
            Work("repair", self._repair, needs_lease=True),
            Work("sweep", self._sweep, needs_lease=True, every_s=SWEEP_S),
            Work("rollouts", Rollouts(self._context, self._lease).look, needs_lease=True, every_s=ROLLOUTS_S),
            Work("applications", self._keep_applications, needs_lease=True),
            Work("nodes", self._keep_nodes, needs_lease=False, wake=self._pushed),  # looks; only who leads acts
        ]

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
        """The replicas, what they have counted, and what was done here of late."""
        self._count()
        size = self._applications.size
        return replace(
            self._memory.overview(),
            gateway=(size.target, size.running) if size else None,
            doings=self._doings.recent(),
        )

    def renew_nodes(self) -> None:
        """Fan-out nodes take over the code of this process, soon."""
        self._nodes.renews = True
        self._pushed.set()

    def settings(self) -> dict[str, Any]:
        """As JSON, for a newer version's code, which has fields of its own."""
        return {**self._settings.model_dump(mode="json", exclude={"home"}), "home": str(self._home.path)}

    def _push(self) -> Pushed:
        answers = self._replicas.broadcast("apply", self._memory.state, timeout_s=PUSH_S)
        return self._memory.acknowledge(answers)

    def _count(self) -> None:
        self._memory.count(self._replicas.broadcast("metrics_snapshot", timeout_s=METRICS_S))

    def _keep_applications(self) -> None:
        with self._database.reading() as session:
            wanted = bounds(session, self._settings)
        for doing in self._applications.ensure(wanted):
            self._doings.say(doing)

    def _sweep(self) -> None:
        for doing in sweep(self._context, self._lease):
            self._doings.say(doing)

    def _repair(self) -> None:
        for doing in repair(self._context, self._lease, self._memory.overview()):
            self._doings.say(doing)

    def _keep_nodes(self) -> None:
        keep = self._nodes.keep if self._lease.holds() else self._nodes.look
        self._memory.tell_nodes(keep(*self._memory.needs()))

    def _keep_aside(self) -> None:
        """What killed its replica is written down within a second, and put aside before it can do so for ever."""
        for death in charge(self._database, self._home, SystemClock()):
            named = ", ".join(f"{suspect.service}/{suspect.revision}" for suspect in death.suspects)
            _log.warning("%s died of %s while it ran %s\n%s", death.process, death.signal, named, death.stack)
            self._doings.say(f"{death.process} died of {death.signal} while it ran {named}")
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
