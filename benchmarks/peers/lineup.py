"""The peers by name: how each is started, and the check that all of them give the same answers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.dialects import OIP, Dialect
from benchmarks.peers import aimass_platform
from benchmarks.peers.by_hand import Scorer
from benchmarks.peers.ray_cluster import READY
from benchmarks.peers.server import Door, PeerError, ask, free_port, listens, python, running
from benchmarks.workloads import Body, Workload

TOLERANCE = 2e-6  # two float32 ways to the same probability; merged graphs may add in another order


@dataclass(frozen=True)
class Peer:
    """One competitor. ``start`` takes a folder for its files and one with the models."""

    title: str
    start: Callable[[Path, Path], AbstractContextManager[Door]]
    is_ours: bool = False
    plan: str = "merged"  # that ours must have
    dialect: Dialect = OIP


def check(peer: Peer, door: Door, workload: Workload, requests: list[bytes], bodies: list[Body], models: Path) -> None:
    """Sends every request once; ``PeerError`` unless each is answered with what scoring by hand gives."""
    scorer = Scorer(models)
    for request, body in zip(requests, bodies, strict=True):
        answer, content = ask(door.port, request)
        if answer.status != 200:
            raise PeerError(f"{workload.name}: status {answer.status}: {content[:300].decode(errors='replace')}")
        expected = scorer.score(workload.service, body.rows)
        got = peer.dialect.read(content, int(answer.headers.get("inference-header-content-length") or 0))
        if got.shape != expected.shape or not np.allclose(got, expected, rtol=0, atol=TOLERANCE):
            raise PeerError(f"{workload.name}: the answer is not what the same models give by hand")
        if peer.is_ours and answer.headers["x-aimass-plan"] != peer.plan:
            raise PeerError(f"{workload.name}: served as {answer.headers['x-aimass-plan']!r}, not {peer.plan}")


def _reference(workers: int) -> Callable[[Path, Path], AbstractContextManager[Door]]:
    @contextmanager
    def start(folder: Path, models: Path) -> Iterator[Door]:
        port = free_port()
        options = ["--no-access-log", "--no-proxy-headers", "--no-server-header", "--lifespan", "off"]
        where = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers), "--log-level", "warning"]
        fast = ["--loop", "uvloop", "--http", "httptools"]
        command = python("-m", "uvicorn", "benchmarks.peers.reference_starlette:app", *where, *options, *fast)
        with running(command, {"BENCH_MODELS": str(models)}, folder / "reference.log", lambda: listens(port)):
            yield Door(port)

    return start


def _ray(module: str, dag: str = "") -> Callable[[Path, Path], AbstractContextManager[Door]]:
    @contextmanager
    def start(folder: Path, models: Path) -> Iterator[Door]:
        port, log = free_port(), folder / f"{module}{dag}.log"
        env = {"BENCH_MODELS": str(models), "BENCH_PORT": str(port), "BENCH_RAY_DIR": str(folder / "ray")}
        env |= {"BENCH_DAG": dag} if dag else {}
        command = python("-m", f"benchmarks.peers.{module}")
        with running(command, env, log, lambda: READY in log.read_text(errors="replace").split()):
            yield Door(port)

    return start


def _aimass(replicas: int, plan: str = "merged") -> Callable[[Path, Path], AbstractContextManager[Door]]:
    def start(folder: Path, models: Path) -> AbstractContextManager[Door]:
        return aimass_platform.platform(models, folder / f"home-{plan}-{replicas}", replicas, plan)

    return start


LINEUP = {
    "reference": Peer("uvicorn + Starlette by hand (reference)", _reference(1)),
    "aimass": Peer("AI Mass, everything on", _aimass(1), is_ours=True),
    "ray-haproxy": Peer("Ray Serve, HAProxy + throughput settings", _ray("ray_serve_haproxy")),
    "ray-default": Peer("Ray Serve, default proxy", _ray("ray_serve_default")),
}
PAIR = {
    "reference-2": Peer("uvicorn + Starlette by hand, two workers", _reference(2)),
    "aimass-2": Peer("AI Mass, two gateway replicas", _aimass(2), is_ours=True),
}
FANOUT = {
    "aimass-fanout": Peer("AI Mass, members fanned out", _aimass(1, "fanout"), is_ours=True, plan="fanout"),
    "dag-best": Peer("Ray Serve handles, HAProxy, throughput settings, gRPC", _ray("ray_dag", "best")),
    "dag-default": Peer("Ray Serve handles, defaults", _ray("ray_dag", "default")),
}
"""W3's two members as deployments of their own, one replica each."""
