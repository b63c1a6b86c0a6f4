"""Control without Ray: a pusher whose replicas live in this process and really load, and jobs that only pretend."""

from collections.abc import Mapping
from pathlib import Path

from aimass.control.context import Context
from aimass.control.leases.turns import Turns
from aimass.control.pushing import Overview, Pushed
from aimass.control.state import build_state
from aimass.core.batch import Batch
from aimass.core.clock import Clock
from aimass.core.errors import AimassError, Unavailable
from aimass.core.ids import Digest
from aimass.core.settings import Settings
from aimass.database.engine import Database, open_database
from aimass.gateway.metrics import Snapshot
from aimass.gateway.state import GatewayState, ReplicaReport
from aimass.registry.artifacts import checkout
from aimass.serving.layout import Layout
from aimass.serving.loader import LoadedPlan, load
from aimass.storage.base import ArtifactStore
from aimass.storage.opening import open_store


class InProcessReplica:
    """Holds a state and its loaded plans, as a replica of the gateway does."""

    def __init__(self, name: str, store: ArtifactStore, cache: Path) -> None:
        self.name = name
        self.state = GatewayState(0)
        self.plans: dict[tuple[str, int], LoadedPlan] = {}
        self.failed: dict[str, str] = {}
        self._store = store
        self._cache = cache

    def apply(self, state: GatewayState) -> ReplicaReport:
        """Take the state and load what it names."""
        self.state, self.failed = state, {}
        wanted = {name: item for service in state.services for name, item in service.plans.items()}
        for name in [name for name in self.plans if name not in wanted]:
            del self.plans[name]
        for name, item in wanted.items():
            if item.aside:
                self.plans.pop(name, None)
                self.failed[f"{name[0]}/{name[1]}"] = f"it {item.aside}"
            elif name not in self.plans:
                try:
                    self.plans[name] = load(Layout.from_json(item.layout), self._checkout)
                except AimassError as error:
                    self.failed[f"{name[0]}/{name[1]}"] = str(error)
        return self.report()

    def report(self) -> ReplicaReport:
        return ReplicaReport(
            self.name, 1, "here", self.state.number, loaded=tuple(sorted(self.plans)), failed=dict(self.failed)
        )

    def predict(self, service: str, batch: Batch) -> tuple[int, Batch]:
        """The revision that all of the service's traffic goes to, and its answer."""
        found = next(item for item in self.state.services if item.name == service)
        (revision,) = found.weights
        return revision, self.plans[service, revision].run(batch)

    def _checkout(self, files: Mapping[str, Digest]) -> Path:
        return checkout(self._store, files, self._cache)


class InProcessPusher:
    """A ``StatePusher``. ``replicas`` may be emptied; ``silent`` names some that do not answer; or all ``is_away``."""

    def __init__(self, database: Database, store: ArtifactStore, cache: Path) -> None:
        self._database = database
        self.replicas = [InProcessReplica(f"replica-{index}", store, cache) for index in range(2)]
        self.silent: set[str] = set()
        self.is_away = False
        self.counts = Snapshot()

    def push(self, number: int) -> Pushed:
        if self.is_away:
            return Pushed(is_away=True)
        with self._database.reading() as session:
            state = build_state(session)
        assert state.number >= number, "pushed before it was committed"
        reports = tuple(replica.apply(state) for replica in self.replicas if replica.name not in self.silent)
        return Pushed(reports, tuple(sorted(self.silent)))

    def await_loaded(self, number: int, timeout_s: float) -> Pushed:
        return self.push(number)

    def overview(self) -> Overview | None:
        if self.is_away:
            return None
        reports = tuple(replica.report() for replica in self.replicas)
        return Overview(max((report.number for report in reports), default=0), reports, self.counts)


class PretendedJobs:
    """``Jobs`` that start nothing: a test says how each one stands."""

    def __init__(self) -> None:
        self.entrypoints: dict[str, str] = {}
        self.env: dict[str, dict[str, str]] = {}
        self.statuses: dict[str, str] = {}
        self.is_down = False

    def submit(self, job: str, entrypoint: str, env: dict[str, str]) -> None:
        self._answer()
        self.entrypoints[job], self.env[job], self.statuses[job] = entrypoint, env, "RUNNING"

    def status(self, job: str) -> str:
        self._answer()
        return self.statuses.get(job, "")

    def stop(self, job: str) -> None:
        self._answer()
        self.statuses[job] = "STOPPED"

    def _answer(self) -> None:
        if self.is_down:
            raise Unavailable("no job API here")


def context_in(settings: Settings, clock: Clock) -> tuple[Context, InProcessPusher, PretendedJobs]:
    """A context over a home whose database is there already."""
    database = open_database(settings.database_url)
    store = open_store(settings.home)
    pusher, jobs = InProcessPusher(database, store, settings.home.cache), PretendedJobs()
    turns = Turns(database, clock)
    return Context(settings, database, store, clock, pusher, jobs, turns, is_operator=True), pusher, jobs
