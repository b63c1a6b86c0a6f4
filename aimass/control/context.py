"""What every verb works with: settings, stores, clock, who asks, and the two arms that reach into Ray."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from aimass.control.jobs import Jobs
from aimass.control.pushing import StatePusher
from aimass.core.clock import Clock
from aimass.core.errors import Conflict
from aimass.core.ids import DEFAULT_ACCOUNT, AccountId
from aimass.core.settings import Settings
from aimass.database.engine import Database
from aimass.storage.base import ArtifactStore


class Turns:
    """One change of a service at a time; whoever comes second is told so instead of waiting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[str] = set()

    @contextmanager
    def of(self, service: str) -> Iterator[None]:
        """The service's turn; ``Conflict`` while somebody else has it."""
        with self._lock:
            if service in self._taken:
                raise Conflict(f"{service} is being deployed just now; try again when that is done")
            self._taken.add(service)
        try:
            yield
        finally:
            with self._lock:
                self._taken.discard(service)


@dataclass(frozen=True)
class Context:
    """Built once per process; ``by`` names the caller of one request."""

    settings: Settings
    database: Database
    store: ArtifactStore
    clock: Clock
    pusher: StatePusher
    jobs: Jobs
    who: str = "aimass"
    account: AccountId = DEFAULT_ACCOUNT
    turns: Turns = field(default_factory=Turns)

    def by(self, who: str, account: AccountId) -> "Context":
        """The same for a caller."""
        return replace(self, who=who, account=account)
