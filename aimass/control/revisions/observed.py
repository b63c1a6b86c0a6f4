"""What calls to a revision really took, from its usage events and the replicas' counts, beside what was predicted."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.database.tables import UsageEventRow
from aimass.gateway.metrics import Snapshot
from aimass.graph.graph import Graph
from aimass.serving.engine.counts import ROWS
from aimass.serving.planner.explanation import Alternative
from aimass.serving.planner.machine import Costs
from aimass.serving.planner.units import Shares

LAST = 5000  # calls that are looked at


@dataclass(frozen=True)
class Observed:
    """Those of the latest calls of one revision that had as many rows as most have: a prediction is for one number of
    rows. Times in µs inside the replica, from a call's head to its answer."""

    calls: int
    rows: int  # in each
    rps: float  # of all calls, while they came
    p50_us: float
    p95_us: float
    nodes: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # node → p50, p95


def observe(session: Session, service: str, revision: int) -> Observed | None:
    """None before the first call was drained, which takes some seconds."""
    row = UsageEventRow
    query = select(row.at, row.rows, row.total_us, row.node_us).where(row.service == service, row.revision == revision)
    events = session.execute(query.order_by(row.at.desc()).limit(LAST)).all()
    if not events:
        return None
    rows = Counter(event.rows for event in sorted(events, key=lambda event: event.rows)).most_common(1)[0][0]
    alike = [event for event in events if event.rows == rows]
    times = [event.total_us for event in alike]
    span_s = events[0].at - events[-1].at
    by_node: dict[str, list[float]] = {}
    for event in alike:
        for name, us in (event.node_us or {}).items():
            by_node.setdefault(name, []).append(us)
    return Observed(
        calls=len(alike),
        rows=rows,
        rps=len(events) / span_s if span_s > 0 else 0.0,
        p50_us=_quantile(times, 0.5),
        p95_us=_quantile(times, 0.95),
        nodes={name: (_quantile(us, 0.5), _quantile(us, 0.95)) for name, us in sorted(by_node.items())},
    )


def shares_of(graph: Graph, counts: Snapshot, service: str, revision: int) -> Shares:
    """Of the rows of each switch and cascade, the part that went to a port, as the replicas counted."""
    rows: dict[tuple[str, str], float] = {}
    for (of_service, of_revision, node_name, event, port), times in counts.nodes.items():
        if (of_service, of_revision, event) == (service, str(revision), ROWS):
            rows[node_name, port] = times
    found: dict[tuple[str, str], float] = {}
    for node in graph.nodes:
        answered = {port: times for (name, port), times in rows.items() if name == node.name}
        total = sum(answered.values())
        for port in answered if total else ():
            later = answered.items() if node.kind == "cascade" else [(port, answered[port])]
            found[node.name, port] = sum(times for key, times in later if key == port or _is_later(key, port)) / total
    return found


def beside(observed: Observed, predicted: Alternative, costs: Costs) -> dict[str, Any]:
    """Both, and how far off the prediction was in per cent of what was measured (above 0: too slow).

    The prediction's door is taken for what of it lies inside the replica; nodes are those that were timed.
    """
    outside = costs.door_p50_us - costs.door_inside_us
    figures = predicted.figures
    data: dict[str, Any] = {
        "calls": observed.calls,
        "rows": observed.rows,
        "rps": round(observed.rps, 1),
        "plan": predicted.name,
    }
    data["whole"] = {
        "p50": _compared(observed.p50_us, figures.p50_us - outside if figures else None),
        "p95": _compared(observed.p95_us, figures.p95_us - outside if figures else None),
    }
    node_us = figures.node_us if figures else {}
    data["nodes"] = {
        name: {"p50": _compared(p50, node_us.get(name)), "p95": _compared(p95, None)}
        for name, (p50, p95) in observed.nodes.items()
    }
    return data


def _compared(measured: float, predicted: float | None) -> dict[str, float | None]:
    off = None if not predicted or not measured else round((predicted - measured) / measured * 100, 1)
    return {"measured_us": round(measured, 1), "predicted_us": predicted and round(predicted, 1), "off_percent": off}


def _is_later(key: str, port: str) -> bool:
    return key.isdigit() and port.isdigit() and int(key) > int(port)


def _quantile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])
