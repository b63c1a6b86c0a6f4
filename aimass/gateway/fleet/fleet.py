"""What the reconciler knows about the replicas: who lives, each one's share of every rate, the sum of their metrics."""

from aimass.gateway.metrics import Snapshot, merge, render
from aimass.gateway.state import ReplicaReport, SyncAnswer

SILENT_S = 3.5  # a replica reports once a second; three missed reports and it counts as gone
EVEN_PART = 0.1  # of a key's rate is spread evenly, so that a replica the key has not used yet lets its first calls in


class Fleet:
    """Pure bookkeeping; the caller passes the time (monotonic seconds)."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[float, ReplicaReport]] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._gone = Snapshot()

    def hear(self, report: ReplicaReport, now: float) -> None:
        """Take a replica's report in."""
        self._reports[report.replica] = (now, report)

    def live(self, now: float) -> list[ReplicaReport]:
        """The last report of every replica that was heard lately."""
        return [report for at, report in self._reports.values() if now - at <= SILENT_S]

    def answer(self, report: ReplicaReport, number: int, state: bytes, now: float) -> SyncAnswer:
        """The answer to a report: the state when the replica is behind, its shares, and the mean load."""
        self.hear(report, now)
        live = self.live(now)
        return SyncAnswer(
            number=number,
            state=state if report.number != number else None,
            shares={key: self._share(report.replica, key, live) for key in report.usage},
            replicas=len(live),
            mean_requests_per_s=sum(item.requests_per_s for item in live) / len(live),
        )

    def remember(self, replica: str, snapshot: Snapshot) -> None:
        """Keep a replica's newest metrics; they stay in the sums after the replica is gone."""
        self._snapshots[replica] = snapshot

    def forget(self, replica: str) -> None:
        """A replica is gone for good: its counters move into the kept sum."""
        self._reports.pop(replica, None)
        snapshot = self._snapshots.pop(replica, None)
        if snapshot is not None:
            self._gone = merge([self._gone, snapshot.without_gauges()])

    def kept(self) -> dict[str, Snapshot]:
        """The newest metrics of each replica, and under an empty name the sum of those that are gone for good."""
        return {"": self._gone, **self._snapshots}

    def total(self, now: float) -> Snapshot:
        """The counts of all replicas, living and gone."""
        living = {report.replica for report in self.live(now)}
        parts = [
            snapshot if replica in living else snapshot.without_gauges()
            for replica, snapshot in self._snapshots.items()
        ]
        return merge([self._gone, *parts])

    def text(self, now: float) -> bytes:
        """The same in Prometheus' text format."""
        return render(self.total(now), replicas=len(self.live(now)))

    @staticmethod
    def _share(replica: str, key: str, live: list[ReplicaReport]) -> float:
        used = {item.replica: item.usage.get(key, 0.0) for item in live}
        total = sum(used.values())
        if total <= 0:
            return 1 / len(live)
        return (1 - EVEN_PART) * used[replica] / total + EVEN_PART / len(live)
