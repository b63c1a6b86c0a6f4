"""How many requests a second, how late, and how does it grow with connections? Peers alone, in turn, in every round."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.load import Load, drive
from benchmarks.peers.lineup import Peer, check
from benchmarks.peers.server import Door
from benchmarks.report import ALONE, BUSY
from benchmarks.results import Measurement
from benchmarks.workloads import Workload, make_bodies, write_requests

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """How long to look."""

    rounds: int = 5
    busy_s: float = 4.0  # at 32 connections
    alone_s: float = 2.0  # at one
    sweep_s: float = 1.0  # at each level
    warm_s: float = 1.0
    settle_s: float = 3.0  # after the start: agents of Ray still import
    levels: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)


QUICK = Options(rounds=1, busy_s=1, alone_s=1, sweep_s=1, settle_s=1, levels=(1, 32))


@dataclass(frozen=True)
class Bench:
    """Measures peers on workloads. ``folder`` holds what they leave, ``models`` what they serve."""

    folder: Path
    models: Path
    workloads: Sequence[Workload]
    options: Options
    say: Say

    def rounds(self, peers: Mapping[str, Peer]) -> Iterator[Measurement]:
        """All rounds at 32 and 1 connections; every other round in reverse order, so that drift falls on all alike."""
        names = list(peers)
        for number in range(1, self.options.rounds + 1):
            for name in names if number % 2 else reversed(names):
                yield from self._session(name, peers[name], number, (BUSY, ALONE))

    def pair_rounds(self, peers: Mapping[str, Peer]) -> Iterator[Measurement]:
        """The same at 32 connections only."""
        names = list(peers)
        for number in range(1, self.options.rounds + 1):
            for name in names if number % 2 else reversed(names):
                yield from self._session(name, peers[name], number, (BUSY,))

    def sweep(self, peers: Mapping[str, Peer]) -> Iterator[Measurement]:
        """Each peer once at every level of connections."""
        for name, peer in peers.items():
            yield from self._session(name, peer, 0, self.options.levels)

    def _session(self, name: str, peer: Peer, number: int, levels: Sequence[int]) -> Iterator[Measurement]:
        """Starts the peer, checks every answer, measures, stops it."""
        self.say(f"{peer.title}: starting")
        with peer.start(self.folder, self.models) as door:
            prepared = [
                (item, self.prepare(name, peer, item, door)) for item in self.workloads if self._takes(peer, item)
            ]
            time.sleep(self.options.settle_s)
            for workload, (requests, count) in prepared:
                drive(door.port, requests, count, 8, self.options.warm_s)
                for connections in levels:
                    load = drive(door.port, requests, count, connections, self._seconds(number, connections))
                    self.say(
                        f"  {workload.name:9} {connections:3} connections {load.requests_per_s:9,.0f} requests/s"
                        f"   p50 {load.percentile_us(50.0):6} µs   p99 {load.percentile_us(99.0):6} µs"
                    )
                    yield measurement(name, workload, connections, number, load)

    def prepare(self, name: str, peer: Peer, workload: Workload, door: Door) -> tuple[Path, int]:
        """The folder of a peer's requests and their number, each of which it has answered as it must."""
        bodies = make_bodies(workload, np.load(self.models / "rows.npy"), write=peer.dialect.write)
        requests = self.folder / "requests" / f"{name}-{workload.name.replace(' ', '-')}"
        whole = write_requests(requests, workload, bodies, door.headers, peer.dialect.path(workload))
        check(peer, door, workload, whole, bodies, self.models)
        return requests, len(bodies)

    def _takes(self, peer: Peer, workload: Workload) -> bool:
        """Raw tensors are ours alone; their rival is the reference's JSON."""
        return peer.is_ours or not workload.binary

    def _seconds(self, number: int, connections: int) -> float:
        if not number:
            return self.options.sweep_s
        return self.options.alone_s if connections == ALONE else self.options.busy_s


def measurement(peer: str, workload: Workload, connections: int, number: int, load: Load) -> Measurement:
    """What a run saw, as it is kept."""
    return Measurement(
        peer=peer,
        workload=workload.name,
        connections=connections,
        round=number,
        requests_per_s=round(load.requests_per_s, 1),
        p50_us=load.percentile_us(50.0),
        p99_us=load.percentile_us(99.0),
        latency_us=load.latency_us if connections == BUSY and number else (),
    )
