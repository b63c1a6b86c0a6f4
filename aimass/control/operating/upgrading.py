"""A running platform takes over newer code, part by part, while calls go on.

Gateway, reconciler, fan-out nodes, console: in this order, so that nobody who is old is told by somebody who is newer.
This runs in a program of its own, since the processes of the platform hold the code that they began with.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import aimass
from aimass.control.operating.sizing import Bounds
from aimass.control.platform import leftovers
from aimass.control.reconciling.applications import CONSOLE, Applications, details, size_now
from aimass.core.errors import Timeout, Unavailable
from aimass.core.home import Home
from aimass.core.platform_file import NAMESPACE, RECONCILER
from aimass.core.settings import Settings
from aimass.database.engine import open_database
from aimass.database.migrate import migrate
from aimass.serving.arrays import APP
from aimass.serving.nodes.wire import revision_of

PATIENCE_S = 60.0
ROLL_S = 300.0
Step = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Upgraded:
    """From which version to which; ``kept``: what ran this very code with these settings already, and stayed."""

    before: str
    after: str
    kept: tuple[str, ...] = ()


def upgrade(home: Home, step: Step) -> Upgraded:
    """Replace every process of the running platform but Ray's own and `aimass up` itself, which only waits.

    Older code goes on with the newer database meanwhile: migrations only add. The environment must say already how to
    join the platform's Ray, which reads it when it is imported.
    """
    runs = leftovers.running(home)
    if runs is None or not runs.ready:
        raise Unavailable(f"no platform runs from {home.path}; start it with: aimass up")
    import ray

    ray.init(namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    try:
        settings, size = _settings(home)
        with step("Preparing the database"):
            database = open_database(settings.database_url)
            migrate(database)
            database.close()
        applications = Applications(settings, threading.Lock())
        with step("Bringing the gateway to this code"):
            kept = () if _roll(applications, APP, size) else ("gateway",)
        with step("Replacing the reconciler"):
            _replace_reconciler(settings)
        with step("Replacing fan-out nodes"):
            _renew_nodes()
        with step("Bringing the console to this code"):
            kept = kept if _roll(applications, CONSOLE, size) else (*kept, "console")
    finally:
        ray.shutdown()
    replace(runs, version=aimass.__version__).write(home)
    return Upgraded(runs.version, aimass.__version__, kept)


def _roll(applications: Applications, name: str, size: Bounds) -> bool:
    """Each replica is replaced by a new one that answers; False: Serve left them, since nothing has changed for them.
    Where none of the new ones answers, Serve keeps those before."""
    began = time.time()
    try:
        applications.run([name], size, wait=True)
    except RuntimeError as error:
        last = str(error).strip().splitlines()[-1]
        raise Unavailable(
            f"the new {name} does not start, and the one before goes on: {last}; mend it, then upgrade again"
        ) from error
    return _is_renewed(details()[name], began)


def _settings(home: Home) -> tuple[Settings, Bounds]:
    """The platform's, as it was started with, and the size that its gateway has now."""
    try:
        told = _ask("settings")
    except AttributeError as error:
        raise Unavailable(
            "the AI Mass that runs is too old to be upgraded while it runs; stop it with aimass down, then aimass up"
        ) from error
    settings = Settings(**{**{key: value for key, value in told.items() if key in Settings.model_fields}, "home": home})
    size = size_now()
    return settings, size.bounds if size else Bounds(settings.gateway_min_replicas, settings.gateway_max_replicas)


def _replace_reconciler(settings: Settings) -> None:
    """Replicas go on with what they have while there is none; it takes over where the last one was killed."""
    import ray
    from ray.exceptions import RayError

    from aimass.control import reconciler

    with contextlib.suppress(ValueError):  # it is dead already
        ray.kill(ray.get_actor(RECONCILER, NAMESPACE), no_restart=True)
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            reconciler.start(settings)
            return
        except (RayError, ValueError):  # the name is the dead one's for a moment
            if time.monotonic() >= until:
                raise
            time.sleep(0.2)


def _renew_nodes() -> None:
    """The new reconciler starts them anew; this waits until each replica is a new one."""
    began = time.time()
    nodes = {name for name in details() if revision_of(name)}
    if nodes:
        _ask("renew_nodes")
    until = time.monotonic() + ROLL_S
    while nodes and time.monotonic() < until:
        there = details()
        nodes -= {name for name in nodes if name not in there or _is_renewed(there[name], began)}
        time.sleep(0.2)
    if nodes:
        raise Timeout(f"{', '.join(sorted(nodes))} has not come up with the new code; aimass status --watch says why")


def _is_renewed(app: Mapping[str, Any], began: float) -> bool:
    replicas = [replica for deployment in app["deployments"].values() for replica in deployment["replicas"]]
    return str(app["status"]).rpartition(".")[2] == "RUNNING" and all(
        item["start_time_s"] >= began for item in replicas
    )


def _ask(method: str) -> Any:
    import ray

    actor = ray.get_actor(RECONCILER, NAMESPACE)
    return ray.get(getattr(actor, method).remote(), timeout=ROLL_S)
