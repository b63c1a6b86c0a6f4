"""What is batching worth on a call that takes 20 ms whatever its batch, and does it ever make a lone request wait?

``python -m benchmarks.bench_batching``: the same model as two services of one platform, one batched (64 rows), one not
(one row a call), both with one call at a time. Wants a quiet machine. The goals: at 16 connections at least 8 times the
requests a second; at one connection a p50 within 10 µs, on this model and on a short one.
"""

import argparse
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

from aimass.client.control import Control
from benchmarks.fixed_work import write_slow
from benchmarks.load import Load, drive, require_wrk
from benchmarks.machine import describe
from benchmarks.peers.aimass_platform import documents, platform
from benchmarks.peers.batching.lineup import BATCHING, OURS, slow_document
from benchmarks.peers.lineup import check
from benchmarks.peers.server import Door, PeerError
from benchmarks.report import TIMES, Spread, spread
from benchmarks.session import keep, measured
from benchmarks.workloads import SLOW, SLOW_FILE, WORKLOADS, Workload, make_bodies, train, write_requests

CONNECTIONS = 16
MUST = 8.0
WITHIN_US = 10.0
WARM = 20
BATCHED, ALONE = "batched", "unbatched"
SERVICES = {
    (SLOW.name, BATCHED): SLOW,
    (SLOW.name, ALONE): Workload("20 ms, alone", "slow-alone", 1),
    ("W1", BATCHED): WORKLOADS["w1"],
    ("W1", ALONE): Workload("W1, alone", "linear-alone", 1),
}


@dataclass(frozen=True)
class Difference:
    """µs at one connection: p50 of each, and the median of batched less unbatched, call by call, with the bounds
    that hold the true median 19 times of 20."""

    pairs: int
    batched_us: float
    unbatched_us: float
    middle_us: float
    low_us: float
    high_us: float

    @property
    def is_within(self) -> bool:
        return abs(self.middle_us) <= WITHIN_US


@dataclass
class Outcome:
    """What was seen."""

    machine: dict[str, Any]
    call_ms: float  # of the model by itself, one row
    runs: dict[str, list[Load]] = field(default_factory=lambda: {BATCHED: [], ALONE: []})
    lone: dict[str, Difference] = field(default_factory=dict)

    def ratio(self) -> Spread:
        """Batched over unbatched, round by round."""
        pairs = zip(self.runs[BATCHED], self.runs[ALONE], strict=True)
        found = spread(batched.requests_per_s / alone.requests_per_s for batched, alone in pairs)
        assert found is not None
        return found


def run(folder: Path, rounds: int, seconds: float, pairs: Mapping[str, int]) -> Outcome:
    """Starts a platform with its defaults and measures it."""
    models = folder / "models"
    models.mkdir()
    train(models)
    outcome = Outcome(describe(), write_slow(models / SLOW_FILE) * 1e3)
    with platform(models, folder / "home", more=lambda control: _deploy(control, models)) as door:
        sent = {key: _prepare(workload, door, models, folder) for key, workload in SERVICES.items()}
        for number in range(rounds):
            for kind in (BATCHED, ALONE) if number % 2 else (ALONE, BATCHED):
                requests, count = sent[SLOW.name, kind]
                load = drive(door.port, requests, count, CONNECTIONS, seconds)
                outcome.runs[kind].append(load)
                print(
                    f"20 ms, {kind:9} {CONNECTIONS} connections {load.requests_per_s:7.1f} requests/s"
                    f"   p50 {load.percentile_us(50.0) / 1e3:6.1f} ms   p99 {load.percentile_us(99.0) / 1e3:6.1f} ms",
                    flush=True,
                )
        for name, many in pairs.items():
            bodies = [(sent[name, kind][0] / "1.http").read_bytes() for kind in (BATCHED, ALONE)]
            outcome.lone[name] = compare(*_alternate(door.port, bodies, many))
    return outcome


def compare(batched_us: Sequence[float], unbatched_us: Sequence[float]) -> Difference:
    """Of calls in turn. The bounds are order statistics (a sign test turned round), which ask nothing of the noise."""
    differences = np.sort(np.subtract(batched_us, unbatched_us))
    many = len(differences)
    reach = int(np.ceil(1.96 * np.sqrt(many) / 2))
    low, high = max(0, many // 2 - reach), min(many - 1, many // 2 + reach)
    return Difference(
        many,
        median(batched_us),
        median(unbatched_us),
        float(np.median(differences)),
        float(differences[low]),
        float(differences[high]),
    )


def _deploy(control: Control, models: Path) -> None:
    control.add_model("slow", models / SLOW_FILE)
    short: dict[str, Any] = {**documents()[0], "service": SERVICES["W1", ALONE].service}
    short["limits"] = {**short["limits"], "batch_rows": 1}
    for document in (slow_document(), slow_document(SERVICES[SLOW.name, ALONE].service, batch_rows=1), short):
        control.deploy(yaml.safe_dump(document))


def _prepare(workload: Workload, door: Door, models: Path, folder: Path) -> tuple[Path, int]:
    """The requests of a service, and that each is answered as the model answers by hand."""
    bodies = make_bodies(workload, np.load(models / "rows.npy"))
    requests = folder / "requests" / workload.service
    whole = write_requests(requests, workload, bodies, door.headers)
    model = Workload(workload.name, workload.service.removesuffix("-alone"), workload.rows)
    check(BATCHING[OURS], door, model, whole, bodies, models)
    return requests, len(bodies)


def _alternate(port: int, requests: Sequence[bytes], pairs: int) -> list[list[float]]:
    """µs of each call, the two requests in turn over a connection of their own; who goes first alternates too."""
    taken: list[list[float]] = [[], []]
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in requests]
        for each in sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(-WARM, pairs):
            for which in (0, 1) if number % 2 else (1, 0):
                began = time.perf_counter_ns()
                sockets[which].sendall(requests[which])
                answer = sockets[which].recv(65536)
                took = (time.perf_counter_ns() - began) / 1e3
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise PeerError(f"a lone request was answered {answer[:40]!r}")
                if number >= 0:
                    taken[which].append(took)
    return taken


def _say(outcome: Outcome) -> None:
    found = outcome.ratio()
    word = "met" if found.middle >= MUST else "**missed**"
    print(
        f"\n20 ms, {CONNECTIONS} connections, batched / unbatched: {found.middle:.2f} {TIMES} "
        f"({found.low:.2f} to {found.high:.2f}); must be at least {MUST:g}: {word}"
    )
    for name, seen in outcome.lone.items():
        print(
            f"{name}, one connection: p50 {seen.batched_us:.0f} µs batched, {seen.unbatched_us:.0f} µs unbatched; "
            f"difference {seen.middle_us:+.1f} µs ({seen.low_us:+.1f} to {seen.high_us:+.1f}, {seen.pairs} pairs); "
            f"must be within {WITHIN_US:g}: {'met' if seen.is_within else '**missed**'}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints each run, the ratio and the differences, and writes everything as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run")
    parser.add_argument("--pairs", type=int, default=1000, help="of lone requests to the call of 20 ms; 10 times to W1")
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    asked = parser.parse_args(arguments)
    pairs = {SLOW.name: asked.pairs, "W1": 10 * asked.pairs}
    outcome = measured(lambda folder: run(folder, asked.rounds, asked.seconds, pairs), require_wrk)
    if outcome is None:
        return 1
    _say(outcome)
    keep(outcome, asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
