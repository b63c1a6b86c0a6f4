"""The stage of ``bench_resilience``: a platform on two Ray nodes of one machine, its processes, what it has metered."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from shutil import copytree
from typing import Any

import aimass
from aimass.control.platform.processes import all_pids, inspect, members, parent_of
from aimass.core.errors import AimassError
from aimass.core.home import Home
from aimass.testing.desk import times
from aimass.testing.faults.second_node import second_node
from aimass.testing.running import RunningPlatform, free_ports, start
from benchmarks.peers.server import ROOT

STEADY, SPREAD = "steady", "spread"  # a plan in the gateway's replicas; a node in replicas of its own
GATEWAYS, NODES = 2, 4
PATIENCE_S = 120.0


class Stage:
    """One platform, which may be killed and started again in the same home and on the same ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.factors: dict[str, dict[int, float]] = {STEADY: {}, SPREAD: {}}
        self.code = folder / "code"  # of its own, so that it can become newer
        copytree(ROOT / "aimass", self.code / "aimass")
        self.raylet = 0  # of the second node; 0: there is none
        self._stack = ExitStack()
        self._nodes = 0
        port, control_port, grpc_port = free_ports(3)
        sizes = {"gateway_min_replicas": GATEWAYS, "gateway_max_replicas": GATEWAYS}
        self._settings = {"port": port, "control_port": control_port, "grpc_port": grpc_port, **sizes}
        self.port = port
        self.platform: RunningPlatform

    def up(self) -> None:
        """`aimass up`, and a second node."""
        self.platform = start(self.folder / "home", code=self.code, **self._settings)

    def join(self) -> None:
        """A second Ray node."""
        self._nodes += 1
        log = self.folder / f"second-{self._nodes}.log"
        self.raylet = self._stack.enter_context(second_node(self.platform, log))

    def down(self) -> None:
        self._stack.close()
        if self.platform.process.poll() is None:
            self.platform.stop()

    def kill_everything(self) -> None:
        """SIGKILL to `aimass up`, to all of Ray, and to the second node."""
        folder = Path(self.platform.file.ray_dir)
        self.platform.process.kill()
        while found := members(folder):
            for process in found:
                if inspect(process.pid) is not None:
                    os.kill(process.pid, signal.SIGKILL)
        self.platform.process.wait()
        self._stack.close()
        self.raylet = 0

    def deploy(self, service: str, factor: float) -> int:
        """A revision that multiplies by ``factor``; its number. Its answers may come before this returns."""
        path = self.folder / f"{service}.onnx"
        path.write_bytes(times(factor))
        size = f", placement: fanout, replicas: {{min: {NODES}, max: {NODES}}}" if service == SPREAD else ""
        with self.platform.control() as control:
            ref = control.add_model(service, path)["ref"]
            coming = max(self.factors[service], default=0) + 1
            self.factors[service][coming] = factor
            done = control.deploy(
                f"service: {service}\n"
                "graph:\n"
                "  inputs: {x: {datatype: FP32, shape: [-1, 2]}}\n"
                f"  nodes: {{m: {{model: {ref}, inputs: {{x: $in.x}}{size}}}}}\n"
                "  outputs: {y: m.y}\n"
                f"placement: {'fanout' if service == SPREAD else 'merged'}\n"
                "limits: {deadline_ms: 20000}\n"
            )
        assert done["revision"] == coming, "revisions are numbered one by one"
        return coming

    def replicas(self) -> set[str]:
        """Names of the gateway's replicas that are known to live."""
        with self.platform.control() as control:
            return {item["replica"] for item in control.desired()["state"]["replicas"]}

    def renew_code(self, version: str) -> None:
        """As an installation of another version does."""
        path = self.code / "aimass" / "__init__.py"
        path.write_text(path.read_text().replace(f'"{aimass.__version__}"', f'"{version}"'))

    def versions(self) -> set[str]:
        """What the gateway's replicas and the console say that they run."""
        with self.platform.control() as control:
            replicas = control.desired()["state"]["replicas"]
            return {item["version"] for item in replicas} | {control.platform()["version"]}

    def pids(self, title: str) -> set[int]:
        """Processes of this platform, on both nodes, whose title begins so."""
        roots = {self.platform.process.pid, self.raylet} - {0}
        found = {pid: process.command for pid in all_pids() if (process := inspect(pid)) is not None}
        return {pid for pid, command in found.items() if command.startswith(title) and _is_below(pid, roots)}

    def gateways(self) -> set[int]:
        return self.pids("ray::ServeReplica:gateway:")

    def nodes(self) -> set[int]:
        return self.pids(f"ray::ServeReplica:{SPREAD}-r")

    def on_second(self, pids: set[int]) -> set[int]:
        return {pid for pid in pids if parent_of(pid) == self.raylet}

    def aimass(self, *words: str) -> None:
        """The command line; an error of it ends the benchmark."""
        done = subprocess.run(
            [sys.executable, "-m", "aimass", *words],
            env={**self.platform.environment, "PYTHONPATH": str(self.code)},
            cwd=self.code,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"aimass {' '.join(words)}: {done.stdout}{done.stderr}")

    def is_whole(self) -> bool:
        """Whether what is, is what is desired: sizes, loads, nodes, a leader, and each process once."""
        try:
            with self.platform.control() as control:
                found = control.desired()
                return is_as_desired(found) and len(self.gateways()) == found["gateway"]["target"]
        except (AimassError, AssertionError, OSError):
            return False

    def now(self) -> str:
        """What is desired and what is, for whoever wonders what is missing."""
        try:
            with self.platform.control() as control:
                return json.dumps(control.desired())
        except (AimassError, AssertionError) as error:
            return str(error)

    def metered(self) -> list[str]:
        """The request id of each metered call of the two services."""
        address = f"file:{Home(self.platform.home).database}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=30)) as database:
            query = "select request_id from usage_events where service in (?, ?)"
            return [row[0] for row in database.execute(query, (STEADY, SPREAD))]


def is_as_desired(found: dict[str, Any]) -> bool:
    """Of ``Control.desired``."""
    replicas, gateway, leader = found["state"]["replicas"], found["gateway"], found["reconciler"]
    nodes = [node for item in found["revisions"] if item["weight"] for node in item["nodes"]]
    return (
        gateway["running"] == gateway["target"]
        and gateway["min"] <= gateway["running"] <= gateway["max"]
        and all(item["state"] == found["state"]["desired"] for item in replicas)
        and all(item["loaded"] == item["replicas"] and not item["wrong"] for item in found["revisions"])
        and all(node["min"] <= node["running"] for node in nodes)
        and leader["answers"]
        and (leader["lease_left_s"] or 0.0) > 0
        and not found["changing"]
    )


def eventually(check: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """Waits until it holds; ``TimeoutError`` if it does not."""
    until = time.monotonic() + seconds
    while not check():
        if time.monotonic() > until:
            raise TimeoutError(f"not so within {seconds:.0f} s")
        time.sleep(0.05)


def _is_below(pid: int, roots: set[int]) -> bool:
    while pid > 1:
        if pid in roots:
            return True
        pid = parent_of(pid)
    return False
