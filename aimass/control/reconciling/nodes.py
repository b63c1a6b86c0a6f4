"""The Serve applications of revisions with fan-out nodes: there while the state names them, or a replica has them.

What is to be done is decided without Ray; ``ServeArm`` does it.
"""

import logging
import re
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aimass.core.clock import Clock
from aimass.core.home import Home
from aimass.core.ids import RevisionId
from aimass.gateway.state import GatewayState
from aimass.serving.arrays import APP
from aimass.serving.batching.rules import Rules
from aimass.serving.layout import Layout
from aimass.serving.nodes.wire import NodesState, app_name, revision_of

LINGER_S = 5.0  # an application that nobody needs is kept so long: a replica may be about to report that it has it
RETRY_S = 30.0  # one that could not start, and is still wanted, is tried again after that
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What an application is made of."""

    layout: Layout
    rules: Rules


class Arm(Protocol):
    """Serve, as far as it is needed."""

    def applications(self) -> Mapping[str, NodesState]:
        """All that there are; none before Serve runs."""

    def start(self, app: str, wanted: Wanted) -> None:
        """Start it, or start it anew, without waiting until it runs."""

    def end(self, app: str) -> None:
        """Let the application finish what it does, and go; without waiting for it."""


class NodeApplications:
    """Used from one thread."""

    def __init__(self, arm: Arm, clock: Clock, say: Callable[[str], None]) -> None:
        self._arm = arm
        self._say = say
        self._clock = clock
        self._unneeded_s: dict[str, float] = {}  # since when
        self._failed_s: dict[str, float] = {}
        self._refused: dict[str, str] = {}  # by Serve itself, with its reason
        self._number = -1
        self._wanted: dict[str, Wanted] = {}
        self.renews = False  # the next look starts every application anew: Serve replaces their replicas one by one

    def look(self, state: GatewayState, held: Collection[RevisionId]) -> dict[str, NodesState]:
        """How the applications stand; nothing is changed."""
        return {app: item for app, item in self._arm.applications().items() if revision_of(app)}

    def keep(self, state: GatewayState, held: Collection[RevisionId]) -> dict[str, NodesState]:
        """Bring Serve nearer to what ``state`` names and what live replicas hold; how the applications stand."""
        there = self._arm.applications()
        if APP not in there:
            return {}  # Serve is being started
        if state.number != self._number:
            self._number, self._wanted = state.number, _wanted(state)
        now = self._clock.monotonic()
        states = {app: NodesState({}, reason) for app, reason in self._refused.items()}
        states |= {app: item for app, item in there.items() if revision_of(app)}
        renews, self.renews = self.renews, False
        for app, wanted in self._wanted.items():
            if app not in states or renews or self._is_to_be_tried_again(app, states[app], now):
                self._start(app, wanted)
        for app in states:
            if app in self._wanted or revision_of(app) in held:
                self._unneeded_s.pop(app, None)
            elif now - self._unneeded_s.setdefault(app, now) >= LINGER_S:
                self._end(app)
        for known in (self._unneeded_s, self._failed_s):
            for app in [app for app in known if app not in states]:
                del known[app]
        return states

    def _start(self, app: str, wanted: Wanted) -> None:
        self._say(f"starting {app}")
        self._refused.pop(app, None)
        try:
            self._arm.start(app, wanted)
        except Exception as error:  # noqa: BLE001 - one bad application must not keep the others from starting
            _log.warning("%s was not started: %s", app, error)
            self._refused[app] = str(error) or type(error).__name__

    def _end(self, app: str) -> None:
        self._say(f"ending {app}")
        if self._refused.pop(app, None) is None:
            self._arm.end(app)

    def _is_to_be_tried_again(self, app: str, state: NodesState, now: float) -> bool:
        if not state.failed:
            self._failed_s.pop(app, None)
            return False
        since = self._failed_s.setdefault(app, now)
        if now - since < RETRY_S:
            return False
        del self._failed_s[app]
        return True


class ServeArm:
    """Ray Serve itself."""

    def __init__(self, home: Home, turns: threading.Lock) -> None:
        self._home = home
        self._turns = turns

    def applications(self) -> Mapping[str, NodesState]:
        from ray import serve

        with self._turns:
            return {name: _as_state(app) for name, app in serve.status().applications.items()}

    def start(self, app: str, wanted: Wanted) -> None:
        from ray import serve

        from aimass.serving.nodes.applications import node_application

        with self._turns:
            application = node_application(self._home, wanted.layout, wanted.rules)
            target = serve.RunTarget(application, name=app, route_prefix=None)
            serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)

    def end(self, app: str) -> None:
        from ray import serve

        serve.delete(app, _blocking=False)


def _wanted(state: GatewayState) -> dict[str, Wanted]:
    found = {}
    for service in state.services:
        for revision in service.revisions:
            if revision.layout.get("apps") and not revision.aside:
                layout = Layout.from_json(revision.layout)
                found[app_name(service.name, revision.number)] = Wanted(layout, service.limits.rules)
    return found


def _as_state(app: Any) -> NodesState:
    """Replicas that run, of an application that is not going; why it does not start."""
    replicas = {name: deployment.replica_states.get("RUNNING", 0) for name, deployment in app.deployments.items()}
    failed = str(app.status.value) == "DEPLOY_FAILED"
    messages = [app.message, *(deployment.message for deployment in app.deployments.values())]
    return NodesState(replicas, _reason("\n".join(messages)) if failed else "")


def _reason(message: str) -> str:
    """What our own error said, out of the traceback that Serve shows; else its last line."""
    ours = re.findall(r"^aimass\.core\.errors\.\w+: (.+)$", message, re.MULTILINE)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return str(ours[-1]) if ours else lines[-1] if lines else "its application could not be started"
