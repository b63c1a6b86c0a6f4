"""Metrics as Prometheus' own parser reads them, and their sums over replicas that come and go."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from aimass.gateway.fleet.fleet import SILENT_S, Fleet
from aimass.gateway.metrics import ROWS as ROW_BOUNDS
from aimass.gateway.metrics import SECONDS, Metrics, Snapshot, merge, render
from aimass.gateway.state import ReplicaReport
from aimass.serving.engine.counts import RETRIES, NodeCounts
from aimass.serving.engine.counts import ROWS as ROWS_BY_PORT
from aimass.serving.resilience.breaker import BreakerState
from aimass.testing.gateway import INFER, ROWS, Gateway, body, connect, metrics_of

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _parse(text: str | bytes) -> Samples:
    text = text.decode() if isinstance(text, bytes) else text
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def _value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


async def test_the_door_tells_what_it_answered_and_refused(gateway: Gateway) -> None:
    async with connect(gateway.app) as client:
        for rows in (ROWS, ROWS[:1], ROWS * 10):
            await client.post(INFER, json=body(rows))
        await client.post(INFER, json={})
        await client.post("/v2/models/none/infer", json=body())
        await client.post(INFER, json=body(), headers={"authorization": ""})
        samples = _parse(await metrics_of(gateway.app))
    one = {"service": "iris", "revision": "1"}
    assert _value(samples, "aimass_requests_total", **one, code="200") == 3
    assert _value(samples, "aimass_requests_total", **one, code="400") == 1
    assert _value(samples, "aimass_requests_total", service="", revision="", code="404") == 1
    assert _value(samples, "aimass_rejections_total", **one, reason="invalid") == 1
    nobody = {"service": "iris", "revision": "", "reason": "unauthenticated"}  # refused before a revision was chosen
    assert _value(samples, "aimass_rejections_total", **nobody) == 1
    assert _value(samples, "aimass_in_flight", **one) == 0
    assert _value(samples, "aimass_batch_rows_sum", **one) == 23
    assert _value(samples, "aimass_batch_rows_bucket", **one, le="2.0") == 2
    assert _value(samples, "aimass_batch_rows_bucket", **one, le="+Inf") == 3
    assert _value(samples, "aimass_request_seconds_count", **one) == 3
    assert _value(samples, "aimass_request_seconds_bucket", **one, le="+Inf") == 3
    assert _value(samples, "aimass_replicas") == 1


async def test_an_unknown_service_makes_no_label(gateway: Gateway) -> None:
    async with connect(gateway.app) as client:
        for index in range(5):
            await client.post(f"/v2/models/none-{index}/infer", json=body())
        assert "none-" not in await metrics_of(gateway.app)


async def test_the_text_of_all_replicas_is_asked_for_and_the_own_is_the_fallback(gateway: Gateway) -> None:
    async def whole() -> bytes:
        return b"all 1\n"

    async def away() -> bytes:
        raise ConnectionError("the reconciler is away")

    gateway.app.whole_metrics = whole
    assert await metrics_of(gateway.app) == "all 1\n"
    gateway.app.whole_metrics = away
    assert "aimass_replicas 1.0" in await metrics_of(gateway.app)


def _counted(answers: list[tuple[str, float, int]], in_flight: int = 0) -> Snapshot:
    metrics = Metrics()
    for service, seconds, rows in answers:
        metrics.series(service, 1).answer(seconds, rows)
        metrics.refuse(service, 1, 400, "invalid")
        metrics.series(service, 1).in_flight = in_flight
        metrics.together(service, 1, "merged").observe(rows, [seconds])
        metrics.series(service, 1).degraded += rows % 2
        counts = metrics.series(service, 1).nodes or NodeCounts()
        metrics.series(service, 1).adopt(counts)
        counts.add(RETRIES, "n")
        counts.add(ROWS_BY_PORT, "n", str(rows % 3), rows)
    return metrics.snapshot()


answers = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 20), st.integers(1, 3000)), max_size=20)


@settings(deadline=None)
@given(st.lists(answers, max_size=5))
def test_a_sum_of_snapshots_is_the_snapshot_of_all_calls(parts: list[list[tuple[str, float, int]]]) -> None:
    together = _parse(render(_counted([item for part in parts for item in part]), 1))
    summed = _parse(render(merge(_counted(part) for part in parts), 1))
    assert together.keys() == summed.keys()
    for name, value in together.items():
        assert abs(summed[name] - value) <= 1e-9 * max(1, abs(value))


@settings(deadline=None)
@given(answers)
def test_buckets_count_what_is_at_most_their_bound(items: list[tuple[str, float, int]]) -> None:
    samples = _parse(render(_counted(items), 1))
    for service in {item[0] for item in items}:
        mine = [item for item in items if item[0] == service]
        for bound in SECONDS:
            got = _value(samples, "aimass_request_seconds_bucket", service=service, revision="1", le=str(bound))
            assert got == sum(seconds <= bound for _, seconds, _ in mine)
        for bound in ROW_BOUNDS:
            got = _value(samples, "aimass_batch_rows_bucket", service=service, revision="1", le=str(bound))
            assert got == sum(rows <= bound for _, _, rows in mine)
            labels = {"service": service, "revision": "1", "node": "merged", "le": str(bound)}
            assert _value(samples, "aimass_together_rows_bucket", **labels) == got
        waited = _value(samples, "aimass_wait_seconds_sum", service=service, revision="1", node="merged")
        assert waited == pytest.approx(sum(seconds for _, seconds, _ in mine))


def test_a_breaker_is_shown_as_the_worst_of_the_replicas_that_live() -> None:
    def replica(state: BreakerState) -> Snapshot:
        metrics, counts = Metrics(), NodeCounts()
        counts.breakers["n"] = lambda: state
        metrics.series("s", 1).adopt(counts)
        return metrics.snapshot()

    shots = [replica(state) for state in (BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN)]
    labels = {"service": "s", "revision": "1", "node": "n"}
    assert _value(_parse(render(merge(shots), 3)), "aimass_breaker_state", **labels) == 2
    shots[1] = shots[1].without_gauges()
    assert _value(_parse(render(merge(shots), 2)), "aimass_breaker_state", **labels) == 1


def test_a_revision_that_is_loaded_again_goes_on_counting() -> None:
    metrics = Metrics()
    for _ in range(3):
        counts = NodeCounts()
        counts.add(RETRIES, "n")
        metrics.series("s", 1).adopt(counts)
        metrics.series("s", 1).adopt(counts)
    samples = _parse(render(metrics.snapshot(), 1))
    assert _value(samples, "aimass_node_retries_total", service="s", revision="1", node="n") == 3


def _report(replica: str, **more: Any) -> ReplicaReport:
    return ReplicaReport(replica, 1, "node", 1, **more)


def test_lost_log_lines_are_summed_over_replicas_gone_ones_too() -> None:
    fleet = Fleet()
    for name, lost in (("a", 2), ("b", 5)):
        metrics = Metrics()
        metrics.lines_lost = lost
        fleet.remember(name, metrics.snapshot())
    fleet.forget("a")
    assert _value(_parse(fleet.text(0.0)), "aimass_request_log_lines_lost_total") == 7


def test_sums_never_fall_when_a_replica_goes() -> None:
    fleet = Fleet()
    for replica in ("a", "b"):
        fleet.hear(_report(replica), now=0.0)
        fleet.remember(replica, _counted([("s", 0.1, 2)] * 3, in_flight=4))
    one = {"service": "s", "revision": "1"}
    before = _parse(fleet.text(0.0))
    assert _value(before, "aimass_requests_total", **one, code="200") == 6
    assert _value(before, "aimass_in_flight", **one) == 8
    fleet.hear(_report("a"), now=SILENT_S + 1)
    silent = _parse(fleet.text(SILENT_S + 1))
    assert _value(silent, "aimass_requests_total", **one, code="200") == 6
    assert _value(silent, "aimass_in_flight", **one) == 4
    assert _value(silent, "aimass_replicas") == 1
    fleet.forget("b")
    assert _parse(fleet.text(SILENT_S + 1)) == silent


usages = st.dictionaries(st.sampled_from("abcd"), st.just(0.0) | st.floats(0.01, 1e4), min_size=1)


@settings(deadline=None)
@given(usages)
def test_shares_of_a_rate_add_up_to_one_and_follow_use(usage: dict[str, float]) -> None:
    fleet = Fleet()
    reports = {replica: _report(replica, usage={"key": used}) for replica, used in usage.items()}
    for report in reports.values():
        fleet.hear(report, 0.0)
    shares = {name: fleet.answer(report, 1, b"", 0.0).shares["key"] for name, report in reports.items()}
    assert abs(sum(shares.values()) - 1) < 1e-9
    assert all(share > 0 for share in shares.values())
    for one, other in zip(sorted(usage, key=usage.__getitem__), sorted(usage, key=usage.__getitem__)[1:], strict=False):
        assert shares[one] <= shares[other] + 1e-9


def test_an_answer_brings_the_state_only_to_those_behind_and_the_mean() -> None:
    fleet = Fleet()
    fleet.hear(_report("b", requests_per_s=30.0), 0.0)
    answer = fleet.answer(_report("a", requests_per_s=10.0), 2, b"state", 1.0)
    assert (answer.number, answer.state, answer.replicas, answer.mean_requests_per_s) == (2, b"state", 2, 20.0)
    assert fleet.answer(_report("a"), 1, b"state", 1.0).state is None
    assert fleet.answer(_report("a"), 1, b"state", SILENT_S + 0.5).replicas == 1
