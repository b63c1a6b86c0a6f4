"""A stage for tests of rollouts: a service with two revisions, the older one live, and looks that are taken by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aimass.control import deploy as verbs
from aimass.control.leases.lease import LEADER, Lease
from aimass.control.rollouts.driving import Rollouts
from aimass.control.rollouts.showing import show
from aimass.control.rollouts.starting import Wish, start
from aimass.testing.desk import Desk, open_desk, service_document
from aimass.testing.rollouts.calls import count_calls

SERVICE = "twice"
OLD, NEW = 1, 2


@dataclass
class Stage:
    """A desk, and a service on it: revision 1 has all traffic, revision 2 came before and was taken back."""

    desk: Desk
    rollouts: Rollouts
    lease: Lease

    def change_leader(self) -> None:
        """Another process takes the lease over, and looks from here on."""
        self.lease.release()
        self.lease = lead(self.desk)
        self.rollouts = Rollouts(self.desk.context, self.lease)

    def begin(self, steps: tuple[float, ...] = (10.0, 50.0, 100.0), **wish: Any) -> str:
        """Starts a rollout of revision 2; what is said."""
        asked = {"least_requests": 50, "least_s": 2.0, **wish}
        return start(self.desk.context, SERVICE, NEW, Wish(steps, **asked)).message

    def look(self, times: int = 1, failed: int = 0, seconds: float = 0.002, calls: int = 100) -> dict[str, Any]:
        """So many looks, a second apart, before each of which both revisions answered calls; the rollout after them.

        ``failed`` of the new one's ``calls``, which last ``seconds``.
        """
        for _ in range(times):
            self.desk.clock.advance(1.0)
            count_calls(self.desk.pusher.counts, SERVICE, OLD, 9 * calls)
            count_calls(self.desk.pusher.counts, SERVICE, NEW, calls - failed, failed, seconds)
            self.rollouts.look()
        return self.shown

    @property
    def shown(self) -> dict[str, Any]:
        return show(self.desk.context, SERVICE)

    @property
    def weights(self) -> list[dict[int, float]]:
        """As each replica has them."""
        return [dict(replica.state.services[0].weights) for replica in self.desk.pusher.replicas]


def lead(desk: Desk) -> Lease:
    """The reconciler's lease, taken."""
    lease = Lease(desk.context.database, LEADER, desk.clock)
    lease.keep()
    return lease


@contextmanager
def open_stage(folder: Path) -> Iterator[Stage]:
    """With calls of before, so that the older revision has a p95."""
    with open_desk(folder) as desk:
        verbs.deploy(desk.context, service_document("double@1", SERVICE))
        verbs.deploy(desk.context, service_document(desk.register("double", 3.0), SERVICE))
        verbs.rollback(desk.context, SERVICE)
        count_calls(desk.pusher.counts, SERVICE, OLD, 5000)
        lease = lead(desk)
        yield Stage(desk, Rollouts(desk.context, lease), lease)
