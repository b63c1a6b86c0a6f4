"""What looks on while calls are answered: shadows, receipts, the payload log, spans. Nobody waits for it, and it fails
nobody."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aimass.gateway.infer import Call, Job
    from aimass.gateway.routes import Target


class Watcher(Protocol):
    """Of one revision; called on the event loop, so it takes microseconds, never waits and never raises."""

    def answered(self, jobs: Sequence["Job"]) -> None:
        """Calls that were answered and metered together; a job has its request, outputs, nodes' times and answer."""

    def failed(self, call: "Call", status: int, error: str) -> None:
        """The call was refused, or was cut off by its caller; it may not have been read."""


class Watching(Protocol):
    """One kind of watcher, for all revisions."""

    def watcher(self, target: "Target") -> Watcher | None:
        """Who looks at calls to this revision from now on; asked anew whenever a state is applied."""


def tell(answered: Sequence["Job"]) -> None:
    """Those who look on hear of all calls to a revision at once."""
    groups: dict[Target, list[Job]] = {}
    for job in answered:
        if job.target.watchers:
            groups.setdefault(job.target, []).append(job)
    for target, jobs in groups.items():
        for watcher in target.watchers:
            watcher.answered(jobs)
