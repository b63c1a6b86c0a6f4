"""How fast is the gRPC door beside the HTTP door of the same platform? Both by h2load, in turn, in every round.

``python -m benchmarks.bench_grpc --rounds 5 --seconds 4``; gRPC carries raw tensors, HTTP JSON.
"""

import argparse
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aimass.core.home import Home
from aimass.core.platform_file import read_platform_file
from benchmarks.grpc_request import Request, first_rows, grpc_request
from benchmarks.h2load import Run, require_h2load
from benchmarks.machine import describe
from benchmarks.peers.aimass_platform import platform
from benchmarks.peers.server import PeerError
from benchmarks.report import TIMES, Spread, spread
from benchmarks.session import keep, measured
from benchmarks.workloads import WORKLOADS, Workload, as_json, train

ASKED = (WORKLOADS["w1"], WORKLOADS["w2"])
LEVELS = (32, 1)
GOALS = {1: 0.35, 64: 1.1}  # gRPC's requests a second over HTTP JSON's, by rows, at 32 connections
WARM_S = 1.0


@dataclass(frozen=True)
class Doors:
    """Where the platform answers, and with which key."""

    http: str
    grpc: str
    headers: dict[str, str]


@dataclass
class Outcome:
    """Runs by rows, door and connections, a round after the other."""

    machine: dict[str, Any]
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def ratio(self, rows: int, connections: int) -> Spread | None:
        """gRPC over HTTP, round by round."""
        pairs = zip(self.runs[f"{rows} grpc {connections}"], self.runs[f"{rows} http {connections}"], strict=True)
        return spread(ours.requests_per_s / theirs.requests_per_s for ours, theirs in pairs)


def requests(doors: Doors, workload: Workload, models: Path, folder: Path) -> list[Request]:
    """The same rows for each door."""
    rows = first_rows(workload, models)
    as_http = folder / f"{workload.rows}.json"
    as_http.write_bytes(as_json(rows).content)
    return [
        Request("http", doors.http + workload.path, as_http, {**doors.headers, "content-type": "application/json"}),
        grpc_request(doors.grpc, doors.headers, workload, models, folder),
    ]


def run(folder: Path, rounds: int, seconds: float) -> Outcome:
    """Starts a platform with its defaults and measures it."""
    models = folder / "models"
    models.mkdir()
    train(models)
    outcome = Outcome(describe())
    home = folder / "home"
    with platform(models, home) as door:
        file = read_platform_file(Home(home).platform_file)
        assert file is not None
        doors = Doors(file.url, file.grpc, door.headers)
        for workload in ASKED:
            pair = requests(doors, workload, models, folder)
            for number in range(rounds):
                for request in pair if number % 2 else reversed(pair):
                    _measure(outcome, workload.rows, request, doors, seconds)
    return outcome


def _measure(outcome: Outcome, rows: int, request: Request, doors: Doors, seconds: float) -> None:
    request.drive(8, WARM_S)
    for connections in LEVELS:
        before = _answered(doors)
        found = request.drive(connections, seconds)
        if _answered(doors) - before < found.requests:
            raise PeerError(f"{request.door}: not every call of {found.requests} was answered with 200")
        outcome.runs.setdefault(f"{rows} {request.door} {connections}", []).append(found)
        print(
            f"{rows:3} rows  {request.door}  {connections:3} connections  {found.requests_per_s:9,.0f} requests/s"
            f"   p50 {found.p50_us:6} µs   p99 {found.p99_us:6} µs",
            flush=True,
        )


def _answered(doors: Doors) -> float:
    """Calls that were answered with 200, of all replicas: h2load cannot see a gRPC status."""
    with urllib.request.urlopen(f"{doors.http}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if _counts(line))


def _counts(line: str) -> bool:
    return line.startswith("aimass_requests_total{") and 'code="200"' in line


def _say(outcome: Outcome) -> None:
    for rows, goal in GOALS.items():
        for connections in LEVELS:
            found = outcome.ratio(rows, connections)
            assert found is not None
            aim = f"; aim {goal} {TIMES}" if connections == LEVELS[0] else ""
            print(
                f"gRPC / HTTP JSON, {rows} rows, {connections} connections: {found.middle:.2f} {TIMES} "
                f"({found.low:.2f} to {found.high:.2f}){aim}"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints each run and the ratios, and writes everything as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run")
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    asked = parser.parse_args(arguments)
    outcome = measured(lambda folder: run(folder, asked.rounds, asked.seconds), require_h2load)
    if outcome is None:
        return 1
    _say(outcome)
    keep(outcome, asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
