"""What do small services suffer beside one that hogs the machine, and beside one that kills its replicas?

``python -m benchmarks.bench_neighbours --picture neighbours.png``; wants a quiet machine. Three small services are
asked in open loop, at a quarter of what the machine can answer. Then 32 callers ask a model that takes some 100 ms,
again as soon as they are answered or refused. The goal: once it is in quarantine, the p95 of the neighbours is within
20 % of before. In a second platform, of two replicas, a model dies of a segmentation fault twice, and is put aside.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from aimass.client.control import Control
from aimass.core.errors import AimassError
from aimass.core.home import Home
from aimass.testing.faults.crashing import FATAL, register
from benchmarks import machine, neighbours_plot
from benchmarks.load import SCRIPT, LoadError, drive, require_wrk
from benchmarks.neighbours_load import Plan
from benchmarks.peers.aimass_platform import KEY_RATE_PER_S, started
from benchmarks.peers.server import ROOT, ask
from benchmarks.session import measured

NEIGHBOURS = ("one", "two", "three")
FEATURES = 64
HOG_SIZE = 1408  # of the matrices that a hog multiplies: some 100 ms in one thread
HOG_CONNECTIONS = 32
PART = 0.25  # of what the machine can answer
CONNECTIONS = 64  # more than ever wait: a request that is due leaves
GOAL = 1.2  # times the p95 before
SETTLE_S = 2.0
PATIENCE_S = 60.0


@dataclass
class Seen:
    """One run: (seconds since its start, ms, status) of each request; and what happened when."""

    title: str
    rate_per_s: float
    answers: list[tuple[float, float, int]]
    events: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    def p95_ms(self, begin: float, end: float) -> float:
        """Of the requests that were due then and answered with 200."""
        return float(
            np.percentile([ms for due, ms, status in self.answers if begin <= due < end and status == 200], 95)
        )

    def lost(self) -> int:
        """Requests that were not answered with 200."""
        return sum(status != 200 for _, _, status in self.answers)

    def phases(self, end: float) -> dict[str, float]:
        """p95 before, meanwhile and after, in ms; seconds until it was over."""
        names = list(self.events)
        first, last = self.events[names[0]], self.events[names[-1]]
        return {
            "before_ms": self.p95_ms(SETTLE_S, first),
            "meanwhile_ms": self.p95_ms(first, last),
            "after_ms": self.p95_ms(last, end),
            "until_s": last - first,
        }


class Bench:
    """One platform with its neighbours, and a key for all."""

    def __init__(self, folder: Path, control: Control, home: Path, say: Callable[[str], None]) -> None:
        self.folder, self.control, self.home, self.say = folder, control, home, say
        for name in NEIGHBOURS:
            _write_small(folder / f"{name}.onnx")
            control.add_model(name, folder / f"{name}.onnx")
            control.deploy(_document(name, f"{name}@1", FEATURES))
        key = control.create_key("benchmark", ["predict"], rate_per_s=KEY_RATE_PER_S)
        self.headers = {"authorization": f"Bearer {key['secret']}", "content-type": "application/json"}
        self.port = int(control.platform()["url"].rpartition(":")[2])
        self.requests = folder / f"requests-{home.name}"
        self.requests.mkdir()
        for number, name in enumerate(NEIGHBOURS, start=1):
            (self.requests / f"{number}.http").write_bytes(self.request(name, np.ones((1, FEATURES))))

    def request(self, service: str, rows: Any) -> bytes:
        tensor = {"name": "x", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
        body = json.dumps({"inputs": [tensor]}).encode()
        lines = {"host": "127.0.0.1", **self.headers, "content-length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST /v2/models/{service}/infer HTTP/1.1\r\n{head}\r\n".encode() + body

    def saturation(self, seconds: float) -> float:
        """Answers a second that the neighbours give to 32 connections."""
        drive(self.port, self.requests, len(NEIGHBOURS), 32, 2.0)
        return drive(self.port, self.requests, len(NEIGHBOURS), 32, seconds).requests_per_s

    @contextmanager
    def asked(self, seen: Seen, seconds: float) -> Iterator[float]:
        """The neighbours' callers; the block begins with them, and they end after so many seconds."""
        plan = Plan(self.port, str(self.requests), len(NEIGHBOURS), seen.rate_per_s, seconds, CONNECTIONS)
        command = [sys.executable, "-m", "benchmarks.neighbours_load"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asdict(plan)))
        process.stdin.close()
        begin = time.monotonic()
        try:
            yield begin
            output = process.stdout.read()
        finally:
            process.kill()
            process.wait()
        answers = [tuple(item) for item in json.loads(output)]
        first = min(due for due, _, _ in answers)
        seen.answers = [(due - first, ms, status) for due, ms, status in answers]
        seen.events = {name: at - first for name, at in seen.events.items()}


def hog(bench: Bench, rate_per_s: float, before_s: float, after_s: float) -> Seen:
    """A service that takes all it can get."""
    _write_hog(bench.folder / "hog.onnx")
    bench.control.add_model("hog", bench.folder / "hog.onnx")
    bench.control.deploy(_document("hog", "hog@1", 2))
    requests = bench.folder / "requests-hog"
    requests.mkdir()
    (requests / "1.http").write_bytes(bench.request("hog", np.ones((1, 2))))
    seen = Seen("a service of 100 ms a call, 32 callers without rest", rate_per_s, [])
    with bench.asked(seen, before_s + after_s + 20.0) as begin:
        time.sleep(before_s)
        seen.events["hog begins"] = time.monotonic()
        command = [require_wrk(), "-t1", f"-c{HOG_CONNECTIONS}", f"-d{after_s + 60:.0f}s", "--timeout", "60s"]
        env = {"BENCH_REQUESTS": str(requests), "BENCH_COUNT": "1", "BENCH_POINTS": "50"}
        command += ["-s", str(SCRIPT), f"http://127.0.0.1:{bench.port}"]
        callers = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            seen.reason = _wait(lambda: next(iter(bench.control.service("hog")["held"]), ""))
            seen.events["in quarantine"] = time.monotonic()
            bench.say(f"  after {seen.events['in quarantine'] - seen.events['hog begins']:.1f} s: {seen.reason}")
            time.sleep(max(0.0, begin + before_s + after_s + 20.0 - time.monotonic()))
        finally:
            callers.kill()
            callers.wait()
    return seen


def crash(bench: Bench, rate_per_s: float, before_s: float, after_s: float) -> Seen:
    """A service that kills its replica, twice."""
    reference = register(Home(bench.home), "fragile", "2")
    bench.control.deploy(_document("fragile", reference, 2))
    fatal = bench.request("fragile", np.array([[FATAL, 1.0]]))
    _wait(lambda: "there" if len(bench.control.status()["replicas"]) == 2 else "")
    seen = Seen("a service that dies of a segmentation fault, two replicas", rate_per_s, [])
    length_s = before_s + after_s + 35.0
    with bench.asked(seen, length_s) as begin:
        time.sleep(before_s)
        for name in ("first crash", "second crash"):
            gone = {item["replica"] for item in bench.control.status()["replicas"]}
            seen.events[name] = time.monotonic()
            with suppress(OSError, HTTPException):
                ask(bench.port, fatal)
            if name == "first crash":
                _wait(lambda gone=gone: "there" if len(_fresh(bench, gone)) == 1 else "")  # type: ignore[misc]
        seen.reason = _wait(lambda: next(iter(bench.control.service("fragile")["failed"]), ""))
        seen.events["put aside"] = time.monotonic()
        _wait(lambda: "there" if len(_fresh(bench, gone)) == 1 else "")
        seen.events["two replicas again"] = time.monotonic()
        bench.say(f"  {seen.events['put aside'] - seen.events['second crash']:.1f} s after the second: {seen.reason}")
        time.sleep(max(0.0, begin + length_s - time.monotonic()))
    return seen


def _fresh(bench: Bench, before: set[str]) -> set[str]:
    with suppress(AimassError):
        return {item["replica"] for item in bench.control.status()["replicas"]} - before
    return set()


def _wait(look: Callable[[], str]) -> str:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise LoadError(f"it did not come true within {PATIENCE_S:.0f} s; look at the platform's logs")


def _document(service: str, reference: str, features: int) -> str:
    return json.dumps(
        {
            "service": service,
            "graph": {
                "inputs": {"x": {"datatype": "FP32", "shape": [-1, features]}},
                "nodes": {"m": {"model": reference, "inputs": {"x": "$in.x"}}},
                "outputs": {"y": "m.y"},
            },
            "limits": {"deadline_ms": 60_000},
        }
    )


def _write_small(path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(7).normal(0, 0.05, (FEATURES, 10)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["s"]), helper.make_node("Softmax", ["s"], ["y"], axis=-1)]
    _write(path, nodes, FEATURES, 10, [numpy_helper.from_array(weights, "w")], TensorProto.FLOAT)


def _write_hog(path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    square = numpy_helper.from_array(np.array([HOG_SIZE, HOG_SIZE], np.int64), "square")
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Expand", ["most", "square"], ["matrix"]),
        helper.make_node("MatMul", ["matrix", "matrix"], ["product"]),
        helper.make_node("ReduceMax", ["product"], ["made"], keepdims=0),
        helper.make_node("Add", ["x", "made"], ["y"]),
    ]
    _write(path, nodes, 2, 2, [square], TensorProto.FLOAT)


def _write(path: Path, nodes: list[Any], inputs: int, outputs: int, constants: list[Any], kind: int) -> None:
    from onnx import helper, save

    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", kind, ["rows", inputs])],
        [helper.make_tensor_value_info("y", kind, ["rows", outputs])],
        constants,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


RUNS = {"hog": (hog, 1), "crash": (crash, 2)}
"""What is done to the neighbours, and on how many replicas."""


def _run(folder: Path, kind: str, before_s: float, after_s: float) -> Seen:
    run, replicas = RUNS[kind]
    home = folder / f"home-{kind}"
    with started(folder, home, replicas) as control:
        bench = Bench(folder, control, home, lambda line: print(line, flush=True))
        rate = PART * bench.saturation(5.0)
        print(f"{kind}: the neighbours are asked {rate:,.0f} times a second", flush=True)
        return run(bench, rate, before_s, after_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints both runs' figures, and draws them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short phases: does it work? Its figures mean nothing")
    parser.add_argument("--only", choices=list(RUNS), help="one of the two runs")
    parser.add_argument("--picture", type=Path, help="draw both runs into this PNG")
    asked = parser.parse_args(arguments)
    before_s, after_s = (6.0, 6.0) if asked.quick else (15.0, 20.0)

    def all_runs(folder: Path) -> list[Seen]:
        return [_run(folder, kind, before_s, after_s) for kind in RUNS if asked.only in (None, kind)]

    runs = measured(all_runs, require_wrk)
    if runs is None:
        return 1
    for seen in runs:
        found = seen.phases(max(due for due, _, _ in seen.answers))
        ratio = found["after_ms"] / found["before_ms"]
        before, meanwhile, after = (found[name] for name in ("before_ms", "meanwhile_ms", "after_ms"))
        print(f"{seen.title}: {seen.lost()} of {len(seen.answers)} requests of the neighbours were not answered")
        print(f"  p95 {before:.2f} ms before, {meanwhile:.2f} until it was over after {found['until_s']:.1f} s,")
        print(f"  {after:.2f} from then on: {ratio:.2f} x, at most {GOAL}: {'met' if ratio <= GOAL else 'MISSED'}")
    if asked.picture is not None:
        neighbours_plot.draw(runs, machine.describe(), asked.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
