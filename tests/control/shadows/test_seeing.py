"""What is told of shadows, from counts made by hand."""

import pytest

from aimass.control.pushing import Overview
from aimass.control.shadows.seeing import figures_of
from aimass.core.statistics.intervals import wilson
from aimass.database.shadow_tables import ShadowMoveRow
from aimass.gateway.metrics import Snapshot
from aimass.gateway.state import ReplicaReport
from aimass.serving.shadows.figures import DISTANCES, SECONDS

PAIR = ("digits", "7", "8")


def _row(shadow: str, share: float = 10.0, node: str = "") -> ShadowMoveRow:
    return ShadowMoveRow(service="digits", shadow=shadow, share=share, revision=8, node=node, plan=5, at=1.0)


def _buckets(bounds: tuple[float, ...], total: float, **counts: int) -> list[float]:
    found = [0.0] * (len(bounds) + 1)
    for place, count in counts.items():
        found[int(place[1:])] = count
    return [*found, total]


def _counts() -> Snapshot:
    events: dict[tuple[str, str], float] = {
        ("calls", ""): 40,
        ("errors", ""): 2,
        ("dropped", "busy"): 3,
        ("rows", ""): 100,
        ("labelled_rows", ""): 100,
        ("agreed_rows", ""): 97,
        ("distant_rows", ""): 100,
        ("cpu_seconds", "primary"): 0.02,
        ("cpu_calls", "primary"): 10,
        ("cpu_rows", "primary"): 40,
        ("cpu_seconds", "shadow"): 0.06,
        ("cpu_calls", "shadow"): 10,
        ("cpu_rows", "shadow"): 40,
    }
    return Snapshot(
        shadows={(*PAIR, *event): count for event, count in events.items()},
        shadow_seconds={
            (*PAIR, "primary"): _buckets(SECONDS, 0.02, _3=10),
            (*PAIR, "shadow"): _buckets(SECONDS, 0.06, _5=9, _9=1),
        },
        shadow_distances={PAIR: _buckets(DISTANCES, 2.5, _0=90, _20=10), ("digits", "7", "9"): [0.0] * 41},
    )


def _overview(counts: Snapshot) -> Overview:
    report = ReplicaReport(
        "a", 1, "here", 3, loaded=(("digits", 8),), failed={"digits~m/5": "too large"}, shadows={"digits/8": "it broke"}
    )
    return Overview(3, (report,), counts)


def test_every_figure_of_a_pair() -> None:
    (item,) = figures_of("digits", [_row("8")], _overview(_counts()))
    assert (item["shadow"], item["revision"], item["share"], item["ready"]) == ("8", 7, 10.0, 1)
    assert (item["calls"], item["errors"], item["rows"], item["dropped"]) == (40, 2, 100, {"busy": 3})
    assert (item["agreement"], item["reason"], item["failed"]) == (0.97, "it broke", [])
    assert (item["agreement_low"], item["agreement_high"]) == wilson(97, 100)
    assert (item["distance_mean"], item["distance_p95"]) == (0.025, DISTANCES[20])
    assert item["difference_mean"] is None, "no figures among the outputs"
    primary, shadow = item["alone"]["primary"], item["alone"]["shadow"]
    assert (primary["p50_ms"], primary["p95_ms"]) == (SECONDS[3] * 1000, SECONDS[3] * 1000)
    assert (shadow["p50_ms"], shadow["p95_ms"]) == (SECONDS[5] * 1000, SECONDS[9] * 1000)
    assert (primary["cpu_ms_per_row"], shadow["cpu_ms_per_row"]) == pytest.approx((0.5, 1.5))
    assert (primary["core_s_per_1000_calls"], shadow["core_s_per_1000_calls"]) == pytest.approx((2.0, 6.0))


def test_one_that_saw_nothing_yet_and_one_that_ended() -> None:
    node = _row("m=model@2", node="m")
    shown = figures_of("digits", [node], _overview(_counts()))
    assert [(item["shadow"], item["share"], item["calls"]) for item in shown] == [("8", 0, 40), ("m=model@2", 10, 0)]
    assert shown[1]["failed"] == ["too large"] and shown[1]["agreement"] is None and shown[1]["revision"] is None
    assert figures_of("other", [], _overview(_counts())) == []
    assert [item["calls"] for item in figures_of("digits", [node], None)] == [0], "while nobody can be asked"
