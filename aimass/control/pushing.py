"""How a stored change reaches the replicas: the protocol, and the one that goes through the reconciler."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aimass.gateway.metrics import Snapshot
from aimass.gateway.state import ReplicaReport
from aimass.serving.nodes.wire import NodesState

RECONCILER = "aimass-reconciler"
NAMESPACE = "aimass"
PUSH_S = 2.0  # a replica that is slower than this to acknowledge is named, and pulls the state by itself
PATIENCE_S = 15.0  # the reconciler, when it dies, is back within some seconds
MARGIN_S = 5.0  # what a call to the reconciler may take beside the wait that it was asked for
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pushed:
    """Who acknowledged a number. A replica that starts later, or stays silent now, pulls it within seconds."""

    reports: tuple[ReplicaReport, ...] = ()
    silent: tuple[str, ...] = ()  # live replicas that did not answer
    is_away: bool = False  # the reconciler itself did not answer


@dataclass(frozen=True)
class Overview:
    """The fleet at one moment."""

    number: int
    reports: tuple[ReplicaReport, ...]
    counts: Snapshot  # of all replicas, gone ones too
    nodes: Mapping[str, NodesState] = field(default_factory=dict)  # by the application of their revision


class StatePusher(Protocol):
    """Never raises: what is stored stays stored, whoever listens."""

    def push(self, number: int) -> Pushed:
        """Bring the live replicas to this state number, or a later one."""

    def await_loaded(self, number: int, timeout_s: float) -> Pushed:
        """Wait until each live replica has that state, and each of its revisions is loaded or has failed."""

    def overview(self) -> Overview | None:
        """None while nobody can be asked."""


class ReconcilerPusher:
    """Asks the reconciler actor. Its calls are made again while the actor restarts."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s

    def push(self, number: int) -> Pushed:
        return self._ask("push", (number,), PUSH_S, 0.0) or Pushed(is_away=True)

    def await_loaded(self, number: int, timeout_s: float) -> Pushed:
        return self._ask("await_loaded", (number, timeout_s), timeout_s, self._patience_s) or Pushed(is_away=True)

    def overview(self) -> Overview | None:
        found: Overview | None = self._ask("overview", (), PUSH_S, 0.0)
        return found

    def _ask(self, method: str, arguments: tuple[Any, ...], timeout_s: float, patience_s: float) -> Any:
        import ray
        from ray.exceptions import RayError

        until = time.monotonic() + patience_s
        while True:
            try:
                actor = ray.get_actor(RECONCILER, NAMESPACE)
                return ray.get(getattr(actor, method).remote(*arguments), timeout=timeout_s + MARGIN_S)
            except (RayError, ValueError) as error:  # ValueError: no such actor
                if time.monotonic() >= until:
                    _log.warning("the reconciler did not answer %s: %s", method, error)
                    return None
                time.sleep(0.2)
