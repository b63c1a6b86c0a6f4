"""What the replicas' counts say about shadows: how often they agree, how far apart they are, what they cost. Pure."""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from aimass.control.pushing import Overview
from aimass.core.statistics.intervals import wilson
from aimass.database.shadow_tables import ShadowMoveRow
from aimass.gateway.metrics import Snapshot
from aimass.serving.shadows.figures import DISTANCES, SECONDS, quantile
from aimass.serving.shadows.pairing import PRIMARY, SHADOW


def figures_of(service: str, rows: Iterable[ShadowMoveRow], overview: Overview | None) -> list[dict[str, Any]]:
    """An entry for each shadow that stands or was counted, and each revision whose calls it was compared with."""
    standing = {row.shadow: row for row in rows}
    counts = overview.counts if overview else Snapshot()
    seen = {(labels[2], labels[1]) for labels in counts.shadow_distances if labels[0] == service}
    seen = {pair for pair in seen if any(labels[:3] == (service, pair[1], pair[0]) for labels in counts.shadows)}
    pairs = {*seen, *((name, "") for name in standing if not any(shadow == name for shadow, _ in seen))}
    return [
        {**_stands(service, name, standing.get(name), overview), **_counted(counts, (service, primary, name))}
        for name, primary in sorted(pairs)
    ]


def _stands(service: str, name: str, row: ShadowMoveRow | None, overview: Overview | None) -> dict[str, Any]:
    found: dict[str, Any] = {"shadow": name, "share": row.share if row else 0.0, "since": row.at if row else None}
    found |= {"ready": None, "failed": [], "reason": None}
    if overview is not None:
        reasons = {
            report.shadows[f"{service}/{name}"] for report in overview.reports if f"{service}/{name}" in report.shadows
        }
        found["reason"] = "; ".join(sorted(reasons)) or None
        if row is not None:
            plan = (f"{service}~{row.node}", row.plan) if row.node else (service, row.revision)
            found |= {"ready": overview.ready(plan[0], [plan[1]]), "failed": overview.failures(plan[0], [plan[1]])}
    return found


def _counted(counts: Snapshot, labels: tuple[str, str, str]) -> dict[str, Any]:
    def count(event: str, detail: str = "") -> float:
        return counts.shadows.get((*labels, event, detail), 0.0)

    labelled, agreed = count("labelled_rows"), count("agreed_rows")
    low, high = wilson(agreed, labelled)
    distances = counts.shadow_distances.get(labels, [0.0] * (len(DISTANCES) + 2))
    return {
        "revision": int(labels[1]) if labels[1] else None,
        "calls": int(count("calls")),
        "errors": int(count("errors")),
        "dropped": {
            names[4]: int(times) for names, times in counts.shadows.items() if names[:4] == (*labels, "dropped")
        },
        "rows": int(count("rows")),
        "agreement": _part(agreed, labelled),
        "agreement_low": low if labelled else None,
        "agreement_high": high if labelled else None,
        "distance_mean": _part(distances[-1], count("distant_rows")),
        "distance_p95": _bound(quantile(DISTANCES, distances[:-1], 0.95)),
        "difference_mean": _part(count("differences"), count("different_rows")),
        "distances": distances[:-1],
        "alone": {who: _cost(counts, labels, who) for who in (PRIMARY, SHADOW)},
    }


def _cost(counts: Snapshot, labels: tuple[str, str, str], who: str) -> dict[str, Any]:
    seconds: Sequence[float] = counts.shadow_seconds.get((*labels, who), ())

    def count(event: str) -> float:
        return counts.shadows.get((*labels, event, who), 0.0)

    return {
        "p50_ms": _ms(quantile(SECONDS, seconds[:-1], 0.5)) if seconds else None,
        "p95_ms": _ms(quantile(SECONDS, seconds[:-1], 0.95)) if seconds else None,
        "cpu_ms_per_row": _ms(_part(count("cpu_seconds"), count("cpu_rows"))),
        "core_s_per_1000_calls": _ms(_part(count("cpu_seconds"), count("cpu_calls"))),
        "seconds": list(seconds[:-1]),
    }


def _part(count: float, of: float) -> float | None:
    return count / of if of else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None or not isfinite(seconds) else seconds * 1000


def _bound(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
