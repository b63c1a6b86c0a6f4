"""How exact is a split, how soon is it in force everywhere, and what does it cost?

``python -m benchmarks.bench_traffic``; wants a quiet machine, takes two to three minutes. W1 is one row of digits over
HTTP (``workloads``). Shares are those of at least 100,000 requests as the replica counted them, against the 99.9 %
interval of the binomial distribution. A change of weights takes from the call of the control API until it answers,
which it does when the last of four replicas has acknowledged. One revision against two of equal weight, in turn, at 32
connections.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

from aimass.client.control import Control
from benchmarks.load import drive, require_wrk
from benchmarks.machine import cpu_times, describe, stolen_percent
from benchmarks.peers.aimass_platform import KEY_RATE_PER_S, deploy, documents, started
from benchmarks.peers.server import PeerError
from benchmarks.session import keep, measured
from benchmarks.workloads import WORKLOADS, make_bodies, train, write_requests

CALLS = 100_000
CONFIDENCE = 0.999
REPLICAS = 4
CONNECTIONS = 32
SPLITS = ({1: 99.9, 2: 0.1}, {1: 95.0, 2: 5.0})
SERVICE = WORKLOADS["w1"].service
PATIENCE_S = 60.0


@dataclass
class Share:
    """What became of one weight. Bounds: of the count, by the binomial distribution."""

    weight: float
    calls: int
    count: int
    low: int
    high: int


@dataclass
class Outcome:
    """What was seen."""

    date: str
    machine: dict[str, Any]
    shares: list[Share] = field(default_factory=list)
    change_s: list[float] = field(default_factory=list)  # until the last of four replicas has acknowledged
    change_under_load_s: list[float] = field(default_factory=list)  # while eight callers ask without rest
    asked_meanwhile: int = 0  # by these callers; none was refused, else nothing is reported
    one_per_s: list[float] = field(default_factory=list)  # requests a second with one revision …
    two_per_s: list[float] = field(default_factory=list)  # … and with two of equal weight
    stolen_percent: float = 0.0

    def say_shares(self) -> str:
        """Those of one replica, in words."""
        lines = [
            f"{item.weight:g} % of {item.calls:,}: {item.count:,} ({item.low:,} to {item.high:,} by chance)"
            for item in self.shares
        ]
        one, two = median(self.one_per_s), median(self.two_per_s)
        lines.append(f"W1 at {CONNECTIONS}: one revision {one:,.0f}, two {two:,.0f} requests/s: {two / one:.3f}")
        return "\n".join(lines)

    def say_changes(self) -> str:
        """Those of four, in words."""
        lines = []
        for what, taken in (("at rest", self.change_s), ("under load", self.change_under_load_s)):
            p50, p95 = np.percentile(taken, [50, 95]) * 1e3
            lines.append(f"{len(taken)} changes, {REPLICAS} replicas {what}: p50 {p50:.0f}, p95 {p95:.0f} ms")
        return "\n".join([*lines, f"{self.asked_meanwhile:,} requests during changes, none refused"])


class Bench:
    """A platform with two revisions of one service, and callers of it."""

    def __init__(self, folder: Path, control: Control, say: Callable[[str], None]) -> None:
        self.control, self.say = control, say
        self.port = int(control.platform()["url"].rpartition(":")[2])
        key = control.create_key("benchmark", ["predict", "read"], rate_per_s=KEY_RATE_PER_S)
        self.headers = {"authorization": f"Bearer {key['secret']}"}
        self.requests = folder / f"requests-{self.port}"
        bodies = make_bodies(WORKLOADS["w1"], np.load(folder / "rows.npy"))
        self.count = len(write_requests(self.requests, WORKLOADS["w1"], bodies, self.headers))
        deploy(control, folder)
        again = next(item for item in documents() if item["service"] == SERVICE)
        again["limits"] = {"deadline_ms": 9_999, "max_batch": 64}
        control.deploy(yaml.safe_dump(again), traffic=False)

    def drive(self, seconds: float, connections: int = CONNECTIONS) -> Any:
        return drive(self.port, self.requests, self.count, connections, seconds)

    def counted(self) -> dict[int, int]:
        """Answers by revision, as /metrics says."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/metrics", headers=self.headers)
        text = connection.getresponse().read().decode()
        found: dict[int, int] = {}
        for line in text.splitlines():
            labels = re.match(r"aimass_requests_total\{(.*)\} (\S+)", line)
            if labels and f'service="{SERVICE}"' in labels[1] and 'code="200"' in labels[1]:
                number = int(re.search(r'revision="(\d+)"', labels[1])[1])  # type: ignore[index]
                found[number] = found.get(number, 0) + int(float(labels[2]))
        return found

    def split(self, weights: dict[int, float]) -> float:
        """The seconds until every replica does it."""
        began = time.perf_counter()
        done = self.control.split(SERVICE, weights)
        taken = time.perf_counter() - began
        if done["silent"]:
            raise PeerError(f"replicas did not acknowledge: {done['silent']}")
        return taken


def shares(bench: Bench, outcome: Outcome) -> None:
    """So many requests for each split, and who answered them."""
    from scipy.stats import binom

    rate = bench.drive(2.0).requests_per_s
    for weights in SPLITS:
        bench.split(weights)
        before = bench.counted()
        asked = 0
        while asked < CALLS:
            asked += bench.drive((CALLS - asked) / rate + 1).requests
        after = bench.counted()
        counts = {number: after.get(number, 0) - before.get(number, 0) for number in weights}
        total = sum(counts.values())
        if total < asked:
            raise PeerError(f"{asked} requests were answered and {total} counted")
        for number, weight in weights.items():
            low, high = binom.interval(CONFIDENCE, total, weight / 100)
            outcome.shares.append(Share(weight, total, counts[number], int(low), int(high)))


def cost(bench: Bench, outcome: Outcome, rounds: int, seconds: float) -> None:
    """One revision and two, in turn."""
    for _ in range(rounds):
        for weights, rates in (({1: 100.0}, outcome.one_per_s), ({1: 50.0, 2: 50.0}, outcome.two_per_s)):
            bench.split(weights)
            bench.drive(1.0)
            rates.append(bench.drive(seconds).requests_per_s)


def changes(bench: Bench, outcome: Outcome, count: int) -> None:
    """Weights change again and again, at rest and while they are called."""
    until = time.monotonic() + PATIENCE_S
    while len(bench.control.status()["replicas"]) < REPLICAS:
        if time.monotonic() > until:
            raise PeerError(f"{REPLICAS} replicas were not there within {PATIENCE_S:.0f} s")
        time.sleep(0.2)
    bench.split({1: 50.0, 2: 50.0})  # both are loaded from here on

    def change() -> list[float]:
        return [bench.split({1: 99.0 - number, 2: 1.0 + number}) for number in range(count)]

    outcome.change_s = change()
    bench.say(f"at rest: median {median(outcome.change_s) * 1e3:.0f} ms")
    with _asked(bench, outcome):
        outcome.change_under_load_s = change()


@contextmanager
def _asked(bench: Bench, outcome: Outcome) -> Any:
    """Eight callers without rest beside the block."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event

    stopped = Event()

    def call() -> int:
        asked = 0
        while not stopped.is_set():
            asked += bench.drive(1.0, 8).requests  # LoadError if one was refused or cut off
        return asked

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(call)
        try:
            yield
        finally:
            stopped.set()
        outcome.asked_meanwhile = asked.result()


def run(folder: Path, count: int, rounds: int, seconds: float, say: Callable[[str], None]) -> Outcome:
    """Two platforms, one after the other."""
    outcome, before = Outcome(f"{datetime.now(UTC):%Y-%m-%d}", describe()), cpu_times()
    train(folder)
    say("one replica: shares, and what two revisions cost")
    with started(folder, folder / "one") as control:
        bench = Bench(folder, control, say)
        shares(bench, outcome)
        cost(bench, outcome, rounds, seconds)
    say(outcome.say_shares())
    say(f"{REPLICAS} replicas: changes of weights")
    with started(folder, folder / "four", REPLICAS) as control:
        changes(Bench(folder, control, say), outcome, count)
    say(outcome.say_changes())
    outcome.stolen_percent = stolen_percent(before, cpu_times())
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what was seen; 1 when a share lies outside its bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3, help="of one revision and two")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each")
    parser.add_argument("--keep", type=Path, help="write figures there, as JSON")
    asked = parser.parse_args(arguments)
    outcome = measured(
        lambda folder: run(folder, asked.changes, asked.rounds, asked.seconds, lambda line: print(line, flush=True)),
        require_wrk,
    )
    if outcome is None:
        return 1
    keep(outcome, asked.keep)
    return 0 if all(item.low <= item.count <= item.high for item in outcome.shares) else 1


if __name__ == "__main__":
    sys.exit(main())
