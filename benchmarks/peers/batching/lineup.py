"""The model servers of others and ours, each with batching on: how each is started."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import yaml

from aimass.client.control import Control
from benchmarks.dialects import OIP, ROWS, Dialect
from benchmarks.peers import aimass_platform
from benchmarks.peers.batching import venvs
from benchmarks.peers.lineup import Peer
from benchmarks.peers.server import Door, free_port, running, says_ok
from benchmarks.workloads import FEATURES, INPUT, OUTPUT, SLOW_FILE

SERVICES = ("linear", "vote", "slow")
Ports = tuple[int, int, int]  # HTTP, gRPC, metrics
Command = Callable[[Path, Ports], list[str]]

# https://docs.seldon.ai/mlserver/user-guide/adaptive-batching; requests in a batch, and seconds to wait for them
BY_MLSERVER = {"max_batch_size": 32, "max_batch_time": 0.001}


def slow_document(name: str = "slow", batch_rows: int = 64) -> dict[str, object]:
    """The call of 20 ms as a service that runs one call at a time."""
    return {
        "service": name,
        "graph": {
            "inputs": {INPUT: {"datatype": "FP32", "shape": [-1, FEATURES]}},
            "nodes": {"slow": {"model": "slow@1", "inputs": {INPUT: f"$in.{INPUT}"}}},
            "outputs": {OUTPUT: f"slow.{OUTPUT}"},
        },
        "placement": "merged",
        "limits": {"deadline_ms": 10_000, "max_batch": 64, "batch_rows": batch_rows, "max_concurrent": 1},
    }


def _aimass(folder: Path, models: Path) -> AbstractContextManager[Door]:
    def add_slow(control: Control) -> None:
        control.add_model("slow", models / SLOW_FILE)
        control.deploy(yaml.safe_dump(slow_document()))

    return aimass_platform.platform(models, folder / "home-batching", more=add_slow)


def _other(name: str, title: str, command: Command, ready: str, dialect: Dialect = OIP, grpc: bool = False) -> Peer:
    """``ready``: the path that answers 200 once the service named in it, or the whole server, is ready."""

    @contextmanager
    def start(folder: Path, models: Path) -> Iterator[Door]:
        ports = free_port(), free_port(), free_port()
        work = folder / name
        work.mkdir(exist_ok=True)
        env = {
            "BENCH_MODELS": str(models),
            "BENCH_PORT": str(ports[0]),
            "BENCH_GRPC_PORT": str(ports[1]),
            "BENTOML_HOME": str(work),
            "BENTOML_DO_NOT_TRACK": "True",
        }

        def is_ready() -> bool:
            return all(says_ok(ports[0], ready.format(service)) for service in SERVICES)

        with running(command(work, ports), env, folder / f"{name}.log", is_ready):
            yield Door(ports[0], grpc=f"127.0.0.1:{ports[1]}" if grpc else "")

    return Peer(title, start, dialect=dialect)


def _module(name: str, module: str) -> Command:
    return lambda folder, ports: [venvs.program(name, "python"), "-m", f"benchmarks.peers.batching.{module}"]


def _bentoml(folder: Path, ports: Ports) -> list[str]:
    service = "benchmarks.peers.batching.bentoml_service:Models"
    return [venvs.program("bentoml", "bentoml"), "serve", service, "--host", "127.0.0.1", "--port", str(ports[0])]


def _mlserver(folder: Path, ports: Ports) -> list[str]:
    http, grpc, metrics = ports
    # Without its pool of workers, which does not start on this uvloop and would cost a short call two hops;
    # https://docs.seldon.ai/mlserver/user-guide/parallel-inference
    server = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "parallel_workers": 0}
    (folder / "settings.json").write_text(json.dumps({**server, "debug": False}))
    for service in SERVICES:
        implementation = "benchmarks.peers.batching.mlserver_runtime.Service"
        (folder / service).mkdir(exist_ok=True)
        (folder / service / "model-settings.json").write_text(
            json.dumps({"name": service, "implementation": implementation, **BY_MLSERVER})
        )
    return [venvs.program("mlserver", "mlserver"), "start", str(folder)]


OURS = "aimass"
OIP_READY = "/v2/models/{}/ready"
BATCHING = {
    OURS: Peer("AI Mass, everything on", _aimass, is_ours=True),
    "litserve": _other("litserve", "LitServe 0.2.19, batched", _module("litserve", "litserve_server"), "/health"),
    "bentoml": _other("bentoml", "BentoML 1.4.39, adaptive batching", _bentoml, "/readyz", dialect=ROWS),
    "mlserver": _other("mlserver", "MLServer 1.7.1, adaptive batching", _mlserver, OIP_READY, grpc=True),
    "kserve": _other(
        "kserve",
        "KServe 0.21 (its batcher needs Kubernetes)",
        _module("kserve", "kserve_server"),
        OIP_READY,
        grpc=True,
    ),
}
