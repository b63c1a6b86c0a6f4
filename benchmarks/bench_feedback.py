"""What does feedback cost the calls beside it, and what do receipts cost all calls?

    python -m benchmarks.bench_feedback

Wants a quiet machine, wrk, and two minutes. W1 (one row of 64 features as JSON, 32 connections as fast as they are
answered) runs alone and beside 2,000 labels a second in batches of 20, in turns; each label is for another row, and all
must be counted in the end. The goal: beside them W1 keeps 0.9 of itself. Then W1 on a platform that keeps no receipts.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from aimass.client.client import Client
from aimass.client.control import Control
from aimass.core.home import Home
from aimass.core.platform_file import read_platform_file
from benchmarks import machine
from benchmarks.feedback_load import Plan
from benchmarks.load import LoadError, drive, require_wrk
from benchmarks.peers.aimass_platform import KEY_RATE_PER_S, is_up, up_command, up_environment
from benchmarks.peers.server import ROOT, running
from benchmarks.session import keep, measured
from benchmarks.workloads import BODIES, FEATURES, INPUT, WORKLOADS, make_bodies, train, write_requests

SERVICE = "rated"
W1 = WORKLOADS["w1"]
CONNECTIONS = 32
SIZE = 20  # labels in a batch
LABELS_PER_S = 2000.0
GOAL = 0.9
ROWS = 64  # in each call that is labelled afterwards
PATIENCE_S = 60.0
RECEIPTS = "AIMASS_RECEIPTS_DAYS"


@dataclass
class Outcome:
    """Requests a second of W1, run by run; of the feedback what was taken, and by when it was answered and counted."""

    machine: dict[str, Any]
    alone_per_s: list[float]
    beside_per_s: list[float]
    without_receipts_per_s: list[float]
    labels_per_s: list[float]
    answered_ms: dict[str, float]  # p50, p95, p99, from when a batch was due
    counted_after_s: float

    @property
    def ratio(self) -> float:
        """Of W1 beside feedback to W1 alone."""
        return statistics.median(self.beside_per_s) / statistics.median(self.alone_per_s)


class Bench:
    """One platform with the service, a key, and W1's requests."""

    def __init__(self, folder: Path, home: Path, control: Control) -> None:
        self.control = control
        if SERVICE not in [item["name"] for item in control.services()]:
            control.add_model("linear", folder / "linear.onnx")
            control.deploy(yaml.safe_dump(_document()))
        self.key = control.create_key("benchmark", ["predict", "feedback"], rate_per_s=KEY_RATE_PER_S)["secret"]
        self.url = control.platform()["url"]
        self.port = int(self.url.rpartition(":")[2])
        self.rows = np.load(folder / "rows.npy")
        self.requests = folder / f"requests-{home.name}"
        path = f"/v2/models/{SERVICE}/infer"
        bearer = {"authorization": f"Bearer {self.key}"}
        write_requests(self.requests, W1, make_bodies(W1, self.rows), bearer, path)

    def w1(self, seconds: float) -> float:
        """Answers a second."""
        return drive(self.port, self.requests, BODIES, CONNECTIONS, seconds).requests_per_s

    def write_bodies(self, path: Path, labels: int) -> None:
        """Batches whose labels are for rows of different calls; every label is what was answered."""
        with Client(self.url, self.key) as client, path.open("w") as file:
            while labels > 0:
                answers = [client.predict(SERVICE, np.resize(self.rows, (ROWS, FEATURES))) for _ in range(SIZE)]
                for row in range(ROWS):
                    items = [
                        {"request_id": answer.request_id, "row": row, "label": int(answer["label"][row])}
                        for answer in answers
                    ]
                    file.write(json.dumps({"items": items}) + "\n")
                labels -= SIZE * ROWS

    def counted(self) -> int:
        """Labels in the database."""
        return sum(item["labelled"] for item in self.control.feedback(SERVICE)["revisions"])


@contextmanager
def platform(folder: Path, home: Path, **settings: str) -> Iterator[Bench]:
    """``aimass up`` with these settings beside the defaults."""
    home.mkdir(mode=0o700)
    environment = {**up_environment(home), **settings}
    with running(up_command(), environment, folder / f"{home.name}.log", lambda: is_up(home)):
        file = read_platform_file(Home(home).platform_file)
        assert file is not None
        with Control(file.control_url, Home(home).key_file.read_text().strip()) as control:
            yield Bench(folder, home, control)


def measure(folder: Path, seconds: float, turns: int) -> Outcome:
    """Runs all of it."""
    train(folder)
    found = Outcome(machine.describe(), [], [], [], [], {}, 0.0)
    with platform(folder, folder / "home") as bench:
        bodies = folder / "bodies.jsonl"
        batches = int(seconds * LABELS_PER_S / SIZE)
        bench.write_bodies(bodies, turns * batches * SIZE)
        bench.w1(2.0)
        late_ms: list[float] = []
        for turn in range(turns):
            found.alone_per_s.append(bench.w1(seconds))
            plan = Plan(bench.port, bench.key, str(bodies), turn * batches, SIZE, LABELS_PER_S, seconds)
            sender = _start(plan)
            found.beside_per_s.append(bench.w1(seconds))
            sent = _end(sender)
            found.labels_per_s.append(sent["labels"] / sent["seconds"])
            late_ms += sent["late_ms"]
        found.answered_ms = {f"p{point}": float(np.percentile(late_ms, point)) for point in (50, 95, 99)}
        found.counted_after_s = _await_counted(bench, len(late_ms) * SIZE)
    with platform(folder, folder / "bare", **{RECEIPTS: "0"}) as bench:
        bench.w1(2.0)
        found.without_receipts_per_s = [bench.w1(seconds) for _ in range(turns)]
    return found


def _start(plan: Plan) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "benchmarks.feedback_load"]
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(plan)))
    process.stdin.close()
    return process


def _end(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    output = process.stdout.read()
    if process.wait():
        raise LoadError("feedback was refused; see above")
    found: dict[str, Any] = json.loads(output)
    return found


def _await_counted(bench: Bench, labels: int) -> float:
    """Seconds until every acknowledged label is in the database, and no more than those."""
    begin = time.monotonic()
    while (counted := bench.counted()) < labels:
        if time.monotonic() - begin > PATIENCE_S:
            raise LoadError(f"{labels} labels were acknowledged, and {counted} are counted after {PATIENCE_S:.0f} s")
        time.sleep(0.05)
    if counted > labels:
        raise LoadError(f"{labels} labels were acknowledged, and {counted} are counted")
    return time.monotonic() - begin


def _document() -> dict[str, Any]:
    nodes = {"linear": {"model": "linear@1", "inputs": {INPUT: f"$in.{INPUT}"}}}
    outputs = {"label": "linear.label", "probabilities": "linear.probabilities"}
    graph = {"inputs": {INPUT: {"datatype": "FP32", "shape": [-1, FEATURES]}}, "nodes": nodes, "outputs": outputs}
    return {"service": SERVICE, "graph": graph, "limits": {"deadline_ms": 10_000, "max_batch": ROWS}}


def report(found: Outcome) -> str:
    """The figures in words."""
    alone, beside, bare = (
        statistics.median(runs) for runs in (found.alone_per_s, found.beside_per_s, found.without_receipts_per_s)
    )
    late = ", ".join(f"{name} {value:.1f} ms" for name, value in found.answered_ms.items())
    return (
        f"W1 alone {alone:,.0f}/s; beside {statistics.median(found.labels_per_s):,.0f} labels/s in batches of {SIZE} "
        f"{beside:,.0f}/s: {found.ratio:.3f} of itself (goal {GOAL}).\n"
        f"Batches were answered in {late}; all labels counted {found.counted_after_s:.1f} s after the last.\n"
        f"W1 without receipts {bare:,.0f}/s: receipts leave {alone / bare:.3f} of it."
    )


def main() -> int:
    """1 where the goal is missed, or nothing could be measured."""
    parser = argparse.ArgumentParser(description="What feedback and receipts cost.")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each run")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, help="keep the figures")
    options = parser.parse_args()
    found = measured(lambda folder: measure(folder, options.seconds, options.turns), require_wrk)
    if found is None:
        return 1
    keep(found, options.json)
    print(report(found))
    return int(found.ratio < GOAL)


if __name__ == "__main__":
    sys.exit(main())
