"""A second Ray node on this machine, joined to a running platform, whose raylet a test or benchmark may kill."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aimass.control.platform.processes import MARK, all_pids, inspect, parent_of
from aimass.testing.running import RunningPlatform

JOIN_S = 60.0
JOIN = """
import os, signal, sys
from ray._private.node import Node
from ray._private.parameter import RayParams
Node(
    RayParams(
        gcs_address=sys.argv[1], node_ip_address="127.0.0.1", num_cpus=4, num_gpus=0, object_store_memory=100_000_000,
        node_manager_port=0, min_worker_port=0, max_worker_port=0, include_log_monitor=False,
        dashboard_agent_listen_port=0,
    ),
    head=False, shutdown_at_exit=True, spawn_reaper=False,
)
print("joined", flush=True)
while signal.sigtimedwait([signal.SIGTERM], 0.2) is None:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        break
"""
"""As ``ray.cluster_utils`` adds nodes; ``ray start`` joins no Ray that is on loopback alone. It buries its dead: a
raylet that is a zombie lives, to Ray's workers, and they would go on for ever."""

SECOND = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
head = "node:__internal_head__"
print([node["NodeID"] for node in ray.nodes() if node["Alive"] and head not in node["Resources"]][0])
"""


@contextmanager
def second_node(platform: RunningPlatform, log: Path) -> Iterator[int]:
    """Its raylet's pid. Loopback, the platform's token, and marked as the platform's own, so that a stop finds it."""
    with log.open("w") as output:
        joined = subprocess.Popen(
            [sys.executable, "-c", JOIN, platform.file.ray_address],
            env={**platform.ray_environment, MARK: platform.file.ray_dir},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + JOIN_S
        while "joined" not in log.read_text() and joined.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        raylets = _children(joined.pid, "raylet/raylet")
        assert len(raylets) == 1, log.read_text()
        yield raylets.pop()
    finally:
        left = _children(joined.pid, "ray")
        joined.kill()
        joined.wait(60)
        for pid in left:
            if inspect(pid) is not None:
                os.kill(pid, 9)


def drain(platform: RunningPlatform) -> None:
    """Tell Ray that the second node will go: Serve starts what runs there elsewhere, then ends it there."""
    address = platform.file.ray_address
    node = _run(platform, "-c", SECOND, address).split()[-1]
    where = ("--address", address, "--node-id", node, "--deadline-remaining-seconds", "120")
    why = ("--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "it goes")
    _run(platform, "-m", "ray.scripts.scripts", "drain-node", *where, *why)


def _run(platform: RunningPlatform, *words: str) -> str:
    environment = platform.ray_environment
    done = subprocess.run([sys.executable, *words], env=environment, check=True, capture_output=True, text=True)
    return done.stdout


def _children(pid: int, command: str) -> set[int]:
    """Those whose command line holds ``command``."""
    found = {child for child in all_pids() if parent_of(child) == pid}
    return {child for child in found if (process := inspect(child)) and command in process.command}
