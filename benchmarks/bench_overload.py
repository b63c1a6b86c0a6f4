"""What is left of the good answers when more is asked than can be done? Open loop, to twice the saturation.

``python -m benchmarks.bench_overload --picture overload.png``; wants a quiet machine. On the call of 20 ms (batched,
one call at a time) goodput must stay above 90 % of its peak, and who is turned away must hear 503 within 5 ms. W1 is so
short that no queue is kept for it: there a key's rate turns callers away, and the question is what that costs.
The generator has its own process, but no core of its own: it shares them with the server. So that the call of 20 ms is
what there is too little of, and not the generator's time, a call takes only 16 rows here: some 700 answers a second.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from aimass.client.control import Control
from benchmarks import overload_plot
from benchmarks.fixed_work import write_slow
from benchmarks.load import drive, require_wrk
from benchmarks.machine import describe
from benchmarks.open_loop import Plan, Saw
from benchmarks.open_loop import drive as drive_open
from benchmarks.peers.aimass_platform import KEY_RATE_PER_S, deploy, started
from benchmarks.peers.batching.lineup import slow_document
from benchmarks.peers.server import Door
from benchmarks.session import keep, measured
from benchmarks.workloads import SLOW, SLOW_FILE, WORKLOADS, Workload, make_bodies, train, write_requests

FACTORS = (0.25, 0.5, 0.75, 0.9, 1.0, 1.25, 1.5, 1.75, 2.0)  # offered load, of the saturation
KEPT = 0.9  # of its peak that goodput must keep beyond the saturation
SHED_MS = 5.0
PATIENT_MS = 10_000  # where the question is how many can be answered
SLOW_ROWS = 16  # of a call of 20 ms
RATE = 0.8  # of W1's saturation: what the key of the series that sheds may ask


@dataclass(frozen=True)
class Series:
    """One line of the picture."""

    title: str
    workload: Workload
    deadline_ms: int
    connections: int
    closed: int  # connections at which the saturation is measured
    is_bounded: bool = False  # by a key's rate


SERIES = (
    Series("20 ms, batched", SLOW, 100, 500, 64),
    Series("W1", WORKLOADS["w1"], 50, 500, 64),
    Series("W1, a key's rate at 80 %", WORKLOADS["w1"], 50, 500, 64, is_bounded=True),
)


@dataclass
class Outcome:
    """What was seen: by series, its saturation (answers a second, closed loop), and a point for each factor."""

    machine: dict[str, Any]
    saturation: dict[str, float] = field(default_factory=dict)
    points: dict[str, list[Saw]] = field(default_factory=dict)
    shed_cost: float = 0.0  # of an answer on W1: the time that turning a call away takes


@dataclass(frozen=True)
class Desk:
    """A platform with the services, and where what is sent is written."""

    control: Control
    folder: Path
    models: Path

    def door(self, rate_per_s: float) -> Door:
        """With a new key that may ask so much."""
        key = self.control.create_key("benchmark", ["predict"], rate_per_s=rate_per_s)
        port = int(self.control.calls().url.rpartition(":")[2])
        return Door(port, {"authorization": f"Bearer {key['secret']}"})

    def write(self, series: Series, door: Door, deadline_ms: int) -> tuple[Path, int]:
        """The requests of a series, each with its deadline."""
        bodies = make_bodies(series.workload, np.load(self.models / "rows.npy"))
        headers = {**door.headers, "x-aimass-deadline-ms": str(deadline_ms)}
        requests = self.folder / "requests" / series.title
        write_requests(requests, series.workload, bodies, headers)
        return requests, len(bodies)


def run(folder: Path, seconds: float) -> Outcome:
    """Starts a platform with its defaults and measures it."""
    models = folder / "models"
    models.mkdir()
    train(models)
    write_slow(models / SLOW_FILE)
    outcome = Outcome(describe())

    def add_slow(control: Control) -> None:
        control.add_model("slow", models / SLOW_FILE)
        control.deploy(yaml.safe_dump(slow_document(batch_rows=SLOW_ROWS)))

    with started(folder, folder / "home") as control:
        deploy(control, models, more=add_slow)
        desk = Desk(control, folder, models)
        for series in SERIES:
            _measure(desk, series, seconds, outcome)
        outcome.shed_cost = _shed_cost(desk, SERIES[-1], seconds)
    return outcome


def _measure(desk: Desk, series: Series, seconds: float, outcome: Outcome) -> None:
    door = desk.door(KEY_RATE_PER_S)
    requests, count = desk.write(series, door, PATIENT_MS)
    drive(door.port, requests, count, series.closed, 1.0)
    load = drive(door.port, requests, count, series.closed, seconds)
    outcome.saturation[series.title] = saturation = load.requests_per_s
    print(f"{series.title}: {saturation:,.0f} answers a second at {series.closed} connections", flush=True)
    if series.is_bounded:
        door = desk.door(RATE * saturation)
    requests, count = desk.write(series, door, series.deadline_ms)
    points = outcome.points[series.title] = []
    for factor in FACTORS:
        rate = factor * saturation
        plan = Plan(door.port, str(requests), count, rate, seconds, series.deadline_ms / 1e3, series.connections)
        points.append(drive_open(plan))
        print(_line(factor, points[-1]), flush=True)


def _shed_cost(desk: Desk, series: Series, seconds: float) -> float:
    """Answers a second over refusals a second, closed loop: a key that may, and one that may ask once a second."""
    rates = []
    for allowed in (KEY_RATE_PER_S, 1.0):
        door = desk.door(allowed)
        requests, count = desk.write(series, door, PATIENT_MS)
        rates.append(drive(door.port, requests, count, 32, seconds, may_refuse=allowed == 1.0).requests_per_s)
    return rates[0] / rates[1]


def kept(points: Sequence[Saw]) -> float:
    """The least goodput at and beyond the saturation, over the peak."""
    goodputs = [point.goodput for point in points]
    beyond = [goodput for factor, goodput in zip(FACTORS, goodputs, strict=True) if factor >= 1.0]
    return min(beyond) / max(goodputs)


def _line(factor: float, saw: Saw) -> str:
    turned_away = ", ".join(f"{count} x {status}" for status, count in sorted(saw.statuses.items())) or "nobody"
    return (
        f"  {factor:4.2f}  offered {saw.offered:8,.0f}/s  in time {saw.goodput:8,.0f}/s  late {saw.late}"
        f"  turned away: {turned_away}  unanswered {saw.unanswered}  p50/p95/p99 ms: answers {saw.ok_ms}"
        f"  sheds {saw.shed_ms}, since sent {saw.shed_sent_ms}  left late {saw.left_late_ms}"
    )


def _say(outcome: Outcome) -> None:
    print()
    for title, points in outcome.points.items():
        print(f"{title}: goodput beyond the saturation keeps {kept(points):.0%} of its peak")
    slow = outcome.points[SERIES[0].title]
    worst = max((saw.shed_sent_ms[-1] for saw in slow if saw.shed_sent_ms), default=0.0)
    print(f"20 ms: must keep {KEPT:.0%}: {'met' if kept(slow) > KEPT else '**missed**'}")
    print(f"20 ms: p99 of a 503 is {worst:.1f} ms at worst; must be {SHED_MS:g}: {_word(worst < SHED_MS)}")
    print(f"W1: to turn a call away takes {outcome.shed_cost:.0%} of what an answer takes")


def _word(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints each point and what was kept; writes everything as JSON and as a picture where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each point")
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    parser.add_argument("--picture", type=Path, help="draw it as this PNG")
    asked = parser.parse_args(arguments)
    outcome = measured(lambda folder: run(folder, asked.seconds), require_wrk)
    if outcome is None:
        return 1
    _say(outcome)
    keep(outcome, asked.json)
    if asked.picture is not None:
        overload_plot.draw(outcome.saturation, outcome.points, outcome.machine, asked.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
