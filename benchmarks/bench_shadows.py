"""What do a split and a shadow cost callers? ``python -m benchmarks.bench_shadows``; wants a quiet machine.

W1 (one row, JSON) over 32 connections on one platform: one revision; then traffic split 95 to 5; then also a shadow
that runs 10 % of the calls; in turn, every other round in reverse order. The goal: with both, at least 0.95 of the
requests a second without either, by the median of the rounds.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from aimass.client.control import Control
from benchmarks import machine
from benchmarks.load import drive, require_wrk
from benchmarks.peers.aimass_platform import KEY_RATE_PER_S, documents, started
from benchmarks.session import keep, measured
from benchmarks.workloads import MODELS, WORKLOADS, make_bodies, train, write_requests

W1 = WORKLOADS["w1"]
CONNECTIONS = 32
GOAL = 0.95
SHARE = 10.0
PLAIN, SPLIT, BOTH = "one revision", "split 95 / 5", "split and a 10 % shadow"
SETTLE_S = 1.0  # shadows that still wait when a turn ends are not the next one's


@dataclass
class Outcome:
    """Requests a second by turn and round; what the shadow did; the machine."""

    requests_per_s: dict[str, list[float]] = field(default_factory=lambda: {PLAIN: [], SPLIT: [], BOTH: []})
    p99_us: dict[str, list[int]] = field(default_factory=lambda: {PLAIN: [], SPLIT: [], BOTH: []})
    shadow: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=machine.describe)

    def ratio(self, what: str) -> float:
        """To one revision alone: the median of the ratios inside the rounds."""
        pairs = zip(self.requests_per_s[what], self.requests_per_s[PLAIN], strict=True)
        return statistics.median(rate / alone for rate, alone in pairs)


def measure(folder: Path, rounds: int, seconds: float) -> Outcome:
    """On a platform of its own."""
    models, outcome = folder / "models", Outcome()
    models.mkdir()
    train(models)
    with started(folder, folder / "home") as control:
        for name, file in MODELS.items():
            control.add_model(name, models / file)
        document = documents()[0]
        for queue in (512, 511, 510):  # three revisions that answer alike
            limits = {"deadline_ms": 10_000, "max_batch": 64, "max_queue": queue}
            control.deploy(yaml.safe_dump({**document, "limits": limits}))
        turns = _turns(control)
        turns[PLAIN]()
        port, requests, count = _requests(control, folder, models)
        drive(port, requests, count, CONNECTIONS, 2.0)
        for number in range(rounds):
            for name in turns if number % 2 == 0 else reversed(list(turns)):
                turns[name]()
                time.sleep(SETTLE_S)
                load = drive(port, requests, count, CONNECTIONS, seconds)
                outcome.requests_per_s[name].append(load.requests_per_s)
                outcome.p99_us[name].append(load.percentile_us(99.0))
                print(
                    f"  {name:24} {load.requests_per_s:9,.0f} requests/s  p99 {load.percentile_us(99.0)} µs", flush=True
                )
        outcome.shadow = {
            str(item["revision"]): {key: item[key] for key in ("calls", "dropped", "errors", "agreement", "alone")}
            for item in control.shadows(W1.service)["shadows"]
        }
    return outcome


def _turns(control: Control) -> Mapping[str, Callable[[], None]]:
    """What is asked of the platform before each turn."""

    def plain() -> None:
        _end_shadows(control)
        control.split(W1.service, {1: 100.0})

    def split() -> None:
        _end_shadows(control)
        control.split(W1.service, {1: 95.0, 2: 5.0})

    def both() -> None:
        control.split(W1.service, {1: 95.0, 2: 5.0})
        control.shadow(W1.service, SHARE, revision=3)

    return {PLAIN: plain, SPLIT: split, BOTH: both}


def _end_shadows(control: Control) -> None:
    if any(item["share"] for item in control.shadows(W1.service)["shadows"]):
        control.end_shadow(W1.service)


def _requests(control: Control, folder: Path, models: Path) -> tuple[int, Path, int]:
    key = control.create_key("benchmark", ["predict"], rate_per_s=KEY_RATE_PER_S)
    bodies = make_bodies(W1, np.load(models / "rows.npy"))
    write_requests(folder / "requests", W1, bodies, {"authorization": f"Bearer {key['secret']}"})
    return int(control.platform()["url"].rpartition(":")[2]), folder / "requests", len(bodies)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints every turn, the medians and the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: does it work? Its figures mean nothing")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    asked = parser.parse_args(arguments)
    rounds, seconds = (1, 1.0) if asked.quick else (15, 2.0)  # short ones: the machine drifts by more than is asked
    outcome = measured(lambda folder: measure(folder, rounds, seconds), require_wrk)
    if outcome is None:
        return 1
    for name, rates in outcome.requests_per_s.items():
        print(
            f"{name:24} median {statistics.median(rates):9,.0f} requests/s, {outcome.ratio(name):.3f} of one revision"
        )
    for revision, item in outcome.shadow.items():
        print(f"  beside revision {revision}: {item['calls']:,} calls compared, dropped {item['dropped'] or 'none'}")
    print(f"goal {GOAL}: {'met' if outcome.ratio(BOTH) >= GOAL else 'MISSED'}")
    keep(outcome, asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
