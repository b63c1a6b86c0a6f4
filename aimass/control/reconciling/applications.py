"""The Serve applications of a platform: started beside each other, started again when they are gone, and kept at the
size that is wanted."""

import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ray import serve

from aimass.control.operating.sizing import Bounds
from aimass.core import plugins
from aimass.core.settings import Settings
from aimass.serving.arrays import APP, DEPLOYMENT
from aimass.serving.nodes.environment import FAST_SERVE

CONSOLE = "console"
APPLICATIONS = {
    APP: "aimass.gateway.deployment:gateway_app",
    CONSOLE: "aimass.console.deployment:console_app",
}
"""By name, because the console stands above control: whoever starts a program need not import it."""

BROKEN = ("DEPLOY_FAILED",)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Size:
    """The gateway's replicas as Serve has them."""

    bounds: Bounds
    target: int
    running: int


class Applications:
    """Used from one thread."""

    def __init__(self, settings: Settings, turns: threading.Lock) -> None:
        self._settings = settings
        self._turns = turns
        self.size: Size | None = None  # as it was seen last

    def ensure(self, wanted: Bounds) -> list[str]:
        """Start what is missing or has failed to start, and resize the gateway, without waiting until it runs; what was
        begun, in words."""
        with self._turns:
            known = {name: str(app.status.value) for name, app in serve.status().applications.items()}
            missing = [name for name in APPLICATIONS if known.get(name, BROKEN[0]) in BROKEN]
            if missing:
                start_serve(self._settings)
                self.run(missing, wanted)
                return [f"starting {name}" for name in missing]
            self.size = size_now()
            if self.size is None or self.size.bounds == wanted:
                return []
            self.run([APP], wanted)
            return [f"resizing the gateway to {wanted}"]

    def run(self, names: Collection[str], wanted: Bounds, wait: bool = False) -> None:
        """Have Serve run these as this process's code and settings say; ``wait``: until they do."""
        _log.info("running %s", ", ".join(names))
        size = {"gateway_min_replicas": wanted.least, "gateway_max_replicas": wanted.most}
        targets = [target(self._settings.model_copy(update=size), name) for name in names]
        serve.run_many(targets, wait_for_ingress_deployment_creation=wait, wait_for_applications_running=wait)


def start_serve(settings: Settings) -> None:
    """Serve itself, if it does not run."""
    behind_serve = settings.ingress == "serve"
    serve.start(
        proxy_location="HeadOnly" if behind_serve else "Disabled",
        http_options={"host": settings.host, "port": settings.port} if behind_serve else None,
        controller_options={"runtime_env": {"env_vars": FAST_SERVE}},
    )


def target(settings: Settings, name: str) -> Any:
    """What Serve is to run under this name."""
    application = plugins.load(APPLICATIONS, name)(settings)
    mounted = name == APP and settings.ingress == "serve"
    return serve.RunTarget(application, name=name, route_prefix="/" if mounted else None)


def size_now() -> Size | None:
    """The gateway's size; None before it is there."""
    found = details().get(APP, {}).get("deployments", {}).get(DEPLOYMENT)
    if found is None:
        return None
    scaling = found["deployment_config"].get("autoscaling_config")
    fixed = found["deployment_config"].get("num_replicas")
    bounds = Bounds(scaling["min_replicas"], scaling["max_replicas"]) if scaling else Bounds(fixed, fixed)
    running = sum(str(item["state"]).rpartition(".")[2] == "RUNNING" for item in found["replicas"])
    return Size(bounds, found["target_num_replicas"], running)


def details() -> dict[str, Any]:
    """All that Serve tells of each application, by its name."""
    from ray.serve.context import _get_global_client

    found: dict[str, Any] = _get_global_client().get_serve_details()["applications"]
    return found
