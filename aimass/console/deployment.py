"""The console as a Serve application: one replica with a door of its own."""

from typing import Any

from ray import serve
from ray.serve.schema import LoggingConfig

from aimass.console.app import console_asgi
from aimass.control.context import Context
from aimass.control.jobs import RayJobs
from aimass.control.leases.turns import Turns
from aimass.control.pushing import ReconcilerPusher
from aimass.control.reconciling.replicas import Replicas
from aimass.core.clock import SystemClock
from aimass.core.settings import Settings
from aimass.database.engine import open_database
from aimass.gateway.door import Door
from aimass.monitoring.process_log import keep_log
from aimass.serving.nodes.environment import FAST_SERVE
from aimass.serving.own_address import keep_to_own_address
from aimass.storage.opening import open_store

DEPLOYMENT = "Console"
CPUS = 0.1
DRAIN_S = 5.0
ENVIRONMENT = {**FAST_SERVE, "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1"}  # its threads use a handle


class Console:
    """The deployment's class. Serve awaits ``__init__`` before the first health check and ``__del__`` at the end."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        keep_to_own_address()
        keep_log(settings.home.logs, "console")
        self._database = open_database(settings.database_url)
        context = Context(
            settings=settings,
            database=self._database,
            store=open_store(settings.home),
            clock=SystemClock(),
            pusher=ReconcilerPusher(settings, self._database, Replicas().broadcast),
            jobs=RayJobs(settings.home),
            turns=Turns(self._database, SystemClock()),
        )
        tls = (settings.tls_cert, settings.tls_key) if settings.tls_cert and settings.tls_key else None
        self._door = Door(console_asgi(context), settings.host, settings.control_port, tls)
        await self._door.open()

    async def __del__(self) -> None:
        if hasattr(self, "_door"):
            await self._door.close()
            self._database.close()

    def check_health(self) -> None:
        if self._door.has_stopped:
            raise RuntimeError("the door is shut")


def console_app(settings: Settings) -> Any:
    """The application to run under the name ``console``."""
    deployment = serve.deployment(
        Console,
        name=DEPLOYMENT,
        num_replicas=1,
        graceful_shutdown_timeout_s=DRAIN_S,
        graceful_shutdown_wait_loop_s=0.1,
        health_check_period_s=1,
        max_surge_percent=100,
        logging_config=LoggingConfig(log_level="WARNING", enable_access_log=False),
        ray_actor_options={"num_cpus": CPUS, "runtime_env": {"env_vars": ENVIRONMENT}},
    )
    return deployment.options(version=settings.replica_version, _internal=True).bind(settings)
