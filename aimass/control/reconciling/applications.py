"""The Serve applications of a platform: started beside each other, and started again when they are gone."""

import logging
import threading
from typing import Any

from ray import serve

from aimass.core import plugins
from aimass.core.settings import Settings
from aimass.serving.arrays import APP
from aimass.serving.nodes.environment import FAST_SERVE

APPLICATIONS = {
    APP: "aimass.gateway.deployment:gateway_app",
    "console": "aimass.console.deployment:console_app",
}
"""By name, because the console stands above control: whoever starts a program need not import it."""

BROKEN = ("DEPLOY_FAILED",)
_log = logging.getLogger(__name__)


class Applications:
    """Used from one thread."""

    def __init__(self, settings: Settings, turns: threading.Lock) -> None:
        self._settings = settings
        self._turns = turns

    def ensure(self) -> list[str]:
        """Start what is missing or has failed to start, without waiting until it runs; the names of those."""
        with self._turns:
            return self._ensure()

    def _ensure(self) -> list[str]:
        known = {name: str(app.status.value) for name, app in serve.status().applications.items()}
        missing = [name for name in APPLICATIONS if known.get(name, BROKEN[0]) in BROKEN]
        if missing:
            self._start_serve()
            _log.info("starting %s", ", ".join(missing))
            targets = [self._target(name) for name in missing]
            serve.run_many(targets, wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
        return missing

    def _start_serve(self) -> None:
        settings = self._settings
        behind_serve = settings.ingress == "serve"
        serve.start(
            proxy_location="HeadOnly" if behind_serve else "Disabled",
            http_options={"host": settings.host, "port": settings.port} if behind_serve else None,
            controller_options={"runtime_env": {"env_vars": FAST_SERVE}},
        )

    def _target(self, name: str) -> Any:
        application = plugins.load(APPLICATIONS, name)(self._settings)
        mounted = name == APP and self._settings.ingress == "serve"
        return serve.RunTarget(application, name=name, route_prefix="/" if mounted else None)
