"""What a replica counts, how the counts of several replicas add up, and their Prometheus text.

The counts are plain integers on the replica's one event loop (prometheus-client's own children take a lock and
0.3 to 0.6 µs each, five times a request); prometheus-client writes the text.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from aimass.gateway.shadows.counts import EVENTS as SHADOW_EVENTS
from aimass.gateway.shadows.counts import ShadowCounts
from aimass.serving.engine.counts import EVENTS, NodeCounts
from aimass.serving.shadows.figures import DISTANCES
from aimass.serving.shadows.figures import SECONDS as SHADOW_SECONDS

SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)

Labels = tuple[str, ...]


@dataclass
class Snapshot:
    """Counts at one moment, by label values; a histogram is its buckets (not cumulative), then the sum."""

    requests: dict[Labels, float] = field(default_factory=dict)  # service, revision, code
    rejections: dict[Labels, float] = field(default_factory=dict)  # service, revision, reason
    in_flight: dict[Labels, float] = field(default_factory=dict)  # service, revision
    seconds: dict[Labels, list[float]] = field(default_factory=dict)  # service, revision
    rows: dict[Labels, list[float]] = field(default_factory=dict)  # service, revision
    together: dict[Labels, list[float]] = field(default_factory=dict)  # service, revision, node: rows of a call
    waits: dict[Labels, list[float]] = field(default_factory=dict)  # the same: seconds that its requests had waited
    lines_lost: dict[Labels, float] = field(default_factory=dict)  # no labels
    receipts_lost: dict[Labels, float] = field(default_factory=dict)  # no labels
    spans_lost: dict[Labels, float] = field(default_factory=dict)  # no labels
    degraded: dict[Labels, float] = field(default_factory=dict)  # service, revision: of the calls answered with 200
    nodes: dict[Labels, float] = field(default_factory=dict)  # service, revision, node, event, its detail
    breakers: dict[Labels, float] = field(default_factory=dict)  # service, revision, node
    resident: dict[Labels, float] = field(default_factory=dict)  # service, revision: replicas that hold it in memory
    resident_bytes: dict[Labels, float] = field(default_factory=dict)  # service, revision
    evictions: dict[Labels, float] = field(default_factory=dict)  # service, revision
    cold_loads: dict[Labels, list[float]] = field(default_factory=dict)  # service, revision: seconds

    quarantined: dict[Labels, float] = field(default_factory=dict)  # service, revision, why: replicas that hold it back
    payloads_dropped: dict[Labels, float] = field(default_factory=dict)  # service, reason

    shadows: dict[Labels, float] = field(default_factory=dict)  # service, revision, shadow, event, its detail
    shadow_seconds: dict[Labels, list[float]] = field(default_factory=dict)  # service, revision, shadow, of
    shadow_distances: dict[Labels, list[float]] = field(default_factory=dict)  # service, revision, shadow

    def without_gauges(self) -> "Snapshot":
        """What stays true of a replica that is gone."""
        return replace(self, in_flight={}, breakers={}, resident={}, resident_bytes={}, quarantined={})


class Series:
    """The counts of one revision in one replica; the hot path adds to its fields."""

    __slots__ = (
        "answered",
        "cold_loads",
        "degraded",
        "evictions",
        "in_flight",
        "nodes",
        "resident_bytes",
        "rows",
        "rows_sum",
        "seconds",
        "seconds_sum",
        "used_s",
    )

    def __init__(self) -> None:
        self.answered = 0
        self.degraded = 0
        self.nodes: NodeCounts | None = None
        self.in_flight = 0
        self.seconds = [0] * (len(SECONDS) + 1)
        self.seconds_sum = 0.0
        self.rows = [0] * (len(ROWS) + 1)
        self.rows_sum = 0
        self.used_s = 0.0  # when it last ran a call, monotonic
        self.resident_bytes = 0  # that it holds now; 0: it is not in memory
        self.evictions = 0  # times that it was let go for want of memory
        self.cold_loads = [0.0] * (len(SECONDS) + 2)  # loads for a call, by their seconds, then the sum of these

    def answer(self, seconds: float, rows: int) -> None:
        """One call answered with 200."""
        self.answered += 1
        self.seconds[bisect_left(SECONDS, seconds)] += 1
        self.seconds_sum += seconds
        self.rows[bisect_left(ROWS, rows)] += 1
        self.rows_sum += rows

    def load_cold(self, seconds: float) -> None:
        """One load for a call that waited for it."""
        self.cold_loads[bisect_left(SECONDS, seconds)] += 1
        self.cold_loads[-1] += seconds

    def calls_per_row(self) -> float:
        """On average so far."""
        return self.answered / self.rows_sum if self.rows_sum else 1.0

    def adopt(self, nodes: NodeCounts) -> None:
        """The revision's nodes are counted there from now on; what was counted of them before stays."""
        if self.nodes is not None and self.nodes is not nodes:
            nodes.go_on_from(self.nodes)
        self.nodes = nodes


class Together:
    """Calls that one node, or a plan as a whole, ran for several requests at once."""

    __slots__ = ("rows", "rows_sum", "waits", "waits_sum")

    def __init__(self) -> None:
        self.rows = [0] * (len(ROWS) + 1)
        self.rows_sum = 0
        self.waits = [0] * (len(SECONDS) + 1)
        self.waits_sum = 0.0

    def observe(self, rows: int, waits: list[float]) -> None:
        """One call, and the seconds that each of its requests had waited."""
        self.rows[bisect_left(ROWS, rows)] += 1
        self.rows_sum += rows
        for seconds in waits:
            self.waits[bisect_left(SECONDS, seconds)] += 1
            self.waits_sum += seconds


class Metrics:
    """All counts of one replica."""

    def __init__(self) -> None:
        self._series: dict[Labels, Series] = {}
        self._together: dict[Labels, Together] = {}
        self._shadows: dict[Labels, ShadowCounts] = {}
        self._refused: dict[Labels, float] = {}
        self._rejections: dict[Labels, float] = {}
        self.lines_lost = 0  # of the request log
        self.receipts_lost = 0
        self.spans_lost = 0  # of calls whose spans were to be sent
        self.quarantined: dict[Labels, float] = {}  # service, revision, why: 1
        self.payloads_dropped: dict[Labels, float] = {}  # service, reason

    def series(self, service: str, revision: int) -> Series:
        """The counts of a revision; the same object at every call."""
        return self._series.setdefault((service, str(revision)), Series())

    def together(self, service: str, revision: int, node: str) -> Together:
        """The counts of a node's calls; the same object at every call."""
        return self._together.setdefault((service, str(revision), node), Together())

    def shadow(self, service: str, revision: int, shadow: str) -> ShadowCounts:
        """The counts of a shadow beside a revision; the same object at every call."""
        return self._shadows.setdefault((service, str(revision), shadow), ShadowCounts())

    def shadow_reasons(self) -> dict[str, str]:
        """Why shadows failed last, by "service/shadow"."""
        known = ((service, shadow, counts.reason) for (service, _, shadow), counts in self._shadows.items())
        return {f"{service}/{shadow}": reason for service, shadow, reason in known if reason}

    def refuse(self, service: str, revision: int, status: int, reason: str) -> None:
        """One call not answered with 200; ``service`` is empty where the caller named none that exists."""
        labels = (service, str(revision or ""), str(status))
        self._refused[labels] = self._refused.get(labels, 0) + 1
        cause = (service, str(revision or ""), reason)
        self._rejections[cause] = self._rejections.get(cause, 0) + 1

    @property
    def requests(self) -> float:
        """Calls so far, answered or refused."""
        return sum(series.answered for series in self._series.values()) + sum(self._refused.values())

    @property
    def seconds(self) -> list[int]:
        """Answered calls of all revisions by the bucket of ``SECONDS``."""
        return [sum(column) for column in zip(*(series.seconds for series in self._series.values()), strict=True)]

    @property
    def in_flight(self) -> int:
        return sum(series.in_flight for series in self._series.values())

    def snapshot(self) -> Snapshot:
        """The counts now, as values of their own."""
        shot = Snapshot(dict(self._refused), dict(self._rejections), lines_lost={(): self.lines_lost})
        shot.receipts_lost[()] = self.receipts_lost
        shot.spans_lost[()] = self.spans_lost
        shot.quarantined = dict(self.quarantined)
        shot.payloads_dropped = dict(self.payloads_dropped)
        for labels, series in self._series.items():
            shot.requests[(*labels, "200")] = series.answered
            shot.in_flight[labels] = series.in_flight
            shot.seconds[labels] = [*series.seconds, series.seconds_sum]
            shot.rows[labels] = [*series.rows, series.rows_sum]
            if series.degraded:
                shot.degraded[labels] = series.degraded
            if series.nodes is not None:
                _take_nodes(shot, labels, series.nodes)
            _take_residency(shot, labels, series)
        for labels, together in self._together.items():
            shot.together[labels] = [*together.rows, together.rows_sum]
            shot.waits[labels] = [*together.waits, together.waits_sum]
        for labels, shadow in self._shadows.items():
            _take_shadow(shot, labels, shadow)
        return shot


def _take_nodes(shot: Snapshot, labels: Labels, counts: NodeCounts) -> None:
    for (event, node, detail), times in counts.totals():
        shot.nodes[(*labels, node, event, detail)] = times
    for node, state in counts.breakers.items():
        shot.breakers[(*labels, node)] = state()


def _take_shadow(shot: Snapshot, labels: Labels, counts: ShadowCounts) -> None:
    shot.shadow_distances[labels] = list(counts.distances)
    for event, detail, count in counts.events():
        shot.shadows[(*labels, event, detail)] = count
    for who, seconds in counts.seconds.items():
        shot.shadow_seconds[(*labels, who)] = list(seconds)


def _take_residency(shot: Snapshot, labels: Labels, series: Series) -> None:
    if series.resident_bytes:
        shot.resident[labels], shot.resident_bytes[labels] = 1, series.resident_bytes
    if series.evictions:
        shot.evictions[labels], shot.cold_loads[labels] = series.evictions, list(series.cold_loads)


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """The sum of several replicas' counts."""
    total = Snapshot()
    for shot in snapshots:
        _add(total.requests, shot.requests)
        _add(total.rejections, shot.rejections)
        _add(total.in_flight, shot.in_flight)
        _add(total.lines_lost, shot.lines_lost)
        _add(total.receipts_lost, shot.receipts_lost)
        _add(total.spans_lost, shot.spans_lost)
        _add_lists(total.seconds, shot.seconds)
        _add_lists(total.rows, shot.rows)
        _add_lists(total.together, shot.together)
        _add_lists(total.waits, shot.waits)
        _add(total.degraded, shot.degraded)
        _add(total.nodes, shot.nodes)
        _add(total.resident, shot.resident)
        _add(total.resident_bytes, shot.resident_bytes)
        _add(total.evictions, shot.evictions)
        _add(total.quarantined, shot.quarantined)
        _add(total.payloads_dropped, shot.payloads_dropped)
        _add_lists(total.cold_loads, shot.cold_loads)
        _add(total.shadows, shot.shadows)
        _add_lists(total.shadow_seconds, shot.shadow_seconds)
        _add_lists(total.shadow_distances, shot.shadow_distances)
        for labels, state in shot.breakers.items():
            total.breakers[labels] = max(state, total.breakers.get(labels, 0.0))
    return total


def render(shot: Snapshot, replicas: int) -> bytes:
    """Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(shot, replicas))
    return generate_latest(registry)


class _Collector:
    def __init__(self, shot: Snapshot, replicas: int) -> None:
        self._shot = shot
        self._replicas = replicas

    def collect(self) -> Iterator[Metric]:
        shot, revision = self._shot, ["service", "revision"]
        requests = CounterMetricFamily("aimass_requests", "Calls by outcome.", labels=[*revision, "code"])
        for labels, count in sorted(shot.requests.items()):
            requests.add_metric(labels, count)
        rejections = CounterMetricFamily("aimass_rejections", "Calls refused, by reason.", labels=[*revision, "reason"])
        for labels, count in sorted(shot.rejections.items()):
            rejections.add_metric(labels, count)
        in_flight = GaugeMetricFamily("aimass_in_flight", "Calls being answered.", labels=revision)
        for labels, count in sorted(shot.in_flight.items()):
            in_flight.add_metric(labels, count)
        replicas = GaugeMetricFamily("aimass_replicas", "Replicas of the gateway that live.", value=self._replicas)
        yield from (requests, rejections, in_flight, replicas)
        for name, what, counts in (
            ("request_log_lines_lost", "Lines of the request log that the disk did not take.", shot.lines_lost),
            ("receipts_lost", "Receipts that the disk did not take, or that could not be made.", shot.receipts_lost),
            ("spans_lost", "Sampled calls whose spans never reached the collector.", shot.spans_lost),
        ):
            yield CounterMetricFamily(f"aimass_{name}", what, value=sum(counts.values()))
        node = [*revision, "node"]
        yield _histogram(
            "aimass_request_seconds", "Seconds from the head of a call to its answer.", revision, SECONDS, shot.seconds
        )
        yield _histogram("aimass_batch_rows", "Rows in a call.", revision, ROWS, shot.rows)
        yield _histogram("aimass_together_rows", "Rows of several calls that ran as one.", node, ROWS, shot.together)
        yield _histogram("aimass_wait_seconds", "Seconds until a node ran a call's rows.", node, SECONDS, shot.waits)
        degraded = CounterMetricFamily("aimass_degraded", "Answers that had to do without a node.", labels=revision)
        for labels, count in sorted(shot.degraded.items()):
            degraded.add_metric(labels, count)
        breakers = GaugeMetricFamily(
            "aimass_breaker_state", "0 closed, 1 half-open, 2 open; the worst of the replicas.", labels=node
        )
        for labels, count in sorted(shot.breakers.items()):
            breakers.add_metric(labels, count)
        yield from (degraded, breakers)
        yield from _of_residency(shot, revision)
        what = "Replicas that hold the revision back: crash, it killed some; hog, its neighbours suffered."
        quarantined = GaugeMetricFamily("aimass_quarantined", what, labels=[*revision, "why"])
        for labels, count in sorted(shot.quarantined.items()):
            quarantined.add_metric(labels, count)
        yield quarantined
        what = "Calls that the payload log did not keep: memory or disk full, errors beyond their rate, too large."
        dropped = CounterMetricFamily("aimass_payloads_dropped", what, labels=["service", "reason"])
        for labels, count in sorted(shot.payloads_dropped.items()):
            dropped.add_metric(labels, count)
        yield dropped
        for event, (what, detail) in EVENTS.items():
            yield _of_nodes(f"aimass_node_{event}", event, what, [*node, detail] if detail else node, shot.nodes)
        yield from _of_shadows(shot, [*revision, "shadow"])


def _of_residency(shot: Snapshot, revision: list[str]) -> Iterator[Metric]:
    resident = GaugeMetricFamily("aimass_resident", "Replicas that hold the revision in memory.", labels=revision)
    size = GaugeMetricFamily("aimass_resident_bytes", "Memory that the revision's plans hold.", labels=revision)
    evictions = CounterMetricFamily("aimass_evictions", "Plans let go for want of memory.", labels=revision)
    families: list[tuple[GaugeMetricFamily | CounterMetricFamily, dict[Labels, float]]] = [
        (resident, shot.resident),
        (size, shot.resident_bytes),
        (evictions, shot.evictions),
    ]
    for family, counts in families:
        for labels, count in sorted(counts.items()):
            family.add_metric(labels, count)
        yield family
    what = "Seconds that it took to load a revision again for a call."
    yield _histogram("aimass_cold_load_seconds", what, revision, SECONDS, shot.cold_loads)


def _of_shadows(shot: Snapshot, shadow: list[str]) -> Iterator[Metric]:
    for event, (what, detail) in SHADOW_EVENTS.items():
        names = [*shadow, detail] if detail else shadow
        yield _of_nodes(f"aimass_shadow_{event}", event, what, names, shot.shadows)
    what = "Seconds of a call that ran alone on a shadow, and on its primary."
    yield _histogram("aimass_shadow_seconds", what, [*shadow, "of"], SHADOW_SECONDS, shot.shadow_seconds)
    what = "How far a row's scores lie from the primary's."
    yield _histogram("aimass_shadow_distance", what, shadow, DISTANCES, shot.shadow_distances)


def _of_nodes(name: str, event: str, what: str, names: list[str], counts: dict[Labels, float]) -> Metric:
    family = CounterMetricFamily(name, what, labels=names)
    for (*labels, found, detail), count in sorted(counts.items()):
        if found == event:
            family.add_metric([*labels, detail][: len(names)], count)
    return family


def _histogram(
    name: str, what: str, names: list[str], bounds: tuple[float, ...], counts: dict[Labels, list[float]]
) -> Metric:
    family = HistogramMetricFamily(name, what, labels=names)
    for labels, values in sorted(counts.items()):
        family.add_metric(labels, _cumulative(bounds, values), values[-1])
    return family


def _cumulative(bounds: tuple[float, ...], counts: list[float]) -> list[tuple[str, float]]:
    buckets, total = [], 0.0
    for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=False):
        total += count
        buckets.append((bound, total))
    return buckets


def _add(total: dict[Labels, float], more: dict[Labels, float]) -> None:
    for labels, value in more.items():
        total[labels] = total.get(labels, 0) + value


def _add_lists(total: dict[Labels, list[float]], more: dict[Labels, list[float]]) -> None:
    for labels, values in more.items():
        known = total.get(labels)
        total[labels] = [a + b for a, b in zip(known, values, strict=True)] if known else list(values)
