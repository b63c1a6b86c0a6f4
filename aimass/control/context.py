"""What every verb works with: settings, stores, clock, who asks, and the two arms that reach into Ray."""

from dataclasses import dataclass, replace

from aimass.control.jobs import Jobs
from aimass.control.leases.turns import Turns
from aimass.control.pushing import StatePusher
from aimass.core.clock import Clock
from aimass.core.ids import DEFAULT_ACCOUNT, AccountId
from aimass.core.settings import Settings
from aimass.database.engine import Database
from aimass.storage.base import ArtifactStore


@dataclass(frozen=True)
class Context:
    """Built once per process; ``by`` names the caller of one request. An operator sees what is any account's; so
    does the platform itself, where it says so."""

    settings: Settings
    database: Database
    store: ArtifactStore
    clock: Clock
    pusher: StatePusher
    jobs: Jobs
    turns: Turns
    who: str = "aimass"
    account: AccountId = DEFAULT_ACCOUNT
    is_operator: bool = False

    def by(self, who: str, account: AccountId, is_operator: bool = False) -> "Context":
        """The same for a caller."""
        return replace(self, who=who, account=account, is_operator=is_operator)
