"""`make bench-peers`: AI Mass beside other model servers with their batching on, over HTTP and gRPC.

Each in its own venv (``peers.batching.venvs`` makes them), one server process each, the same models with one thread,
alone on the machine in every round. Wants a quiet machine; 3 rounds take some 10 minutes.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks import machine
from benchmarks.bench_serving import Bench, Options, measurement
from benchmarks.fixed_work import write_slow
from benchmarks.grpc_request import grpc_request
from benchmarks.h2load import require_h2load
from benchmarks.load import POINTS, drive, require_wrk
from benchmarks.peers.batching import venvs
from benchmarks.peers.batching.lineup import BATCHING
from benchmarks.peers.lineup import Peer
from benchmarks.peers.server import Door
from benchmarks.peers_report import CONNECTIONS, MARKERS, markdown
from benchmarks.report import ALONE, BUSY, replace_block
from benchmarks.results import Measurement, Results
from benchmarks.session import measured
from benchmarks.workloads import SLOW, SLOW_FILE, WORKLOADS, train

ROOT = Path(__file__).parents[1]
HTTP = (WORKLOADS["w1"], WORKLOADS["w2"], WORKLOADS["w3"], SLOW)
GRPC = (WORKLOADS["w1"], WORKLOADS["w2"])
FULL = Options(rounds=3, busy_s=3, alone_s=1, warm_s=1, settle_s=2, levels=())
QUICK = replace(FULL, rounds=1, busy_s=1, settle_s=1)


@dataclass(frozen=True)
class PeerBench:
    """Every peer in turn, in every round."""

    bench: Bench

    def rounds(self, names: Sequence[str]) -> Iterator[Measurement]:
        """Every other round in reverse order, so that drift falls on all alike."""
        for number in range(1, self.bench.options.rounds + 1):
            for name in names if number % 2 else reversed(names):
                yield from self._session(name, BATCHING[name], number)

    def _session(self, name: str, peer: Peer, number: int) -> Iterator[Measurement]:
        bench, options = self.bench, self.bench.options
        bench.say(f"{peer.title}: starting")
        with peer.start(bench.folder, bench.models) as door:
            prepared = [(workload, *bench.prepare(name, peer, workload, door)) for workload in HTTP]
            time.sleep(options.settle_s)
            for workload, requests, count in prepared:
                drive(door.port, requests, count, 8, options.warm_s)
                busy = CONNECTIONS.get(workload.name, BUSY)
                for connections, seconds in ((busy, options.busy_s), (ALONE, options.alone_s)):
                    load = drive(door.port, requests, count, connections, seconds)
                    yield self._say(measurement(name, workload, connections, number, load))
            has_grpc = bool(door.grpc)
        if has_grpc:  # started again: MLServer's batcher does not get over the calls that wrk left when it stopped
            with peer.start(bench.folder, bench.models) as door:
                time.sleep(options.settle_s)
                yield from self._grpc(name, door, number)

    def _grpc(self, name: str, door: Door, number: int) -> Iterator[Measurement]:
        bench, options = self.bench, self.bench.options
        for workload in GRPC:
            request = grpc_request(door.grpc, door.headers, workload, bench.models, bench.folder)
            request.drive(8, options.warm_s)
            for connections, seconds in ((BUSY, options.busy_s), (ALONE, options.alone_s)):
                run = request.drive(connections, seconds)
                kind = f"{workload.name} gRPC"
                yield self._say(
                    Measurement(name, kind, connections, number, round(run.requests_per_s, 1), run.p50_us, run.p99_us)
                )

    def _say(self, found: Measurement) -> Measurement:
        self.bench.say(
            f"  {found.workload:8} {found.connections:3} connections {found.requests_per_s:9,.1f} requests/s"
            f"   p50 {found.p50_us:6} µs   p99 {found.p99_us:6} µs"
        )
        return found


def measure(folder: Path, options: Options, names: Sequence[str]) -> Results:
    """Trains the models, then measures."""
    models = folder / "models"
    models.mkdir()
    before, about = machine.cpu_times(), machine.describe()
    train(models)
    call_s = write_slow(models / SLOW_FILE)
    bench = Bench(folder, models, HTTP, options, lambda line: print(line, flush=True))
    return Results(
        date=time.strftime("%Y-%m-%d"),
        machine=about,
        options={**asdict(options), "slow_call_ms": round(call_s * 1e3, 2)},
        titles={name: BATCHING[name].title for name in names},
        measurements=tuple(PeerBench(bench).rounds(names)),
        stolen_percent=machine.stolen_percent(before, machine.cpu_times()),
        points=POINTS,
    )


def _publish(results: Results) -> None:
    path = ROOT / "benchmarks" / "results" / f"{results.date}-{machine.slug(results.machine)}-peers.json"
    results.write(path)
    readme = ROOT / "README.md"
    text = replace_block(readme.read_text(encoding="utf-8"), markdown(results), MARKERS)
    readme.write_text(text, encoding="utf-8")
    print(f"\nWritten: {path}, and the table in README.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: does it work? Its figures mean nothing")
    parser.add_argument("--peers", nargs="+", choices=BATCHING, default=list(BATCHING), help="only these")
    parser.add_argument("--rounds", type=int, default=FULL.rounds)
    asked = parser.parse_args(arguments)
    options = QUICK if asked.quick else replace(FULL, rounds=asked.rounds)

    def with_venvs(folder: Path) -> Results:
        for name in asked.peers:
            if name in venvs.names():
                venvs.make(name)
        return measure(folder, options, asked.peers)

    results = measured(with_venvs, require_wrk, require_h2load)
    if results is None:
        return 1
    print("\n" + markdown(results))
    if not asked.quick and set(asked.peers) == set(BATCHING):
        _publish(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
