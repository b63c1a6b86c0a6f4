"""How long from `aimass up` to the first answer, when the service was deployed before?"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.peers.aimass_platform import is_up, platform, up_command, up_environment
from benchmarks.peers.server import PeerError, ask, running
from benchmarks.results import Start
from benchmarks.workloads import WORKLOADS, make_bodies, write_requests


def measure(folder: Path, models: Path, times: int, say: Callable[[str], None]) -> Start:
    """Deploys once, stops, and starts again ``times`` times, each until one call was answered."""
    home = folder / "home-start"
    workload = WORKLOADS["w3"]
    say("Start: deploying once")
    with platform(models, home) as door:
        bodies = make_bodies(workload, np.load(models / "rows.npy"), count=1)
        request = write_requests(folder / "requests" / "start", workload, bodies, door.headers)[0]
        ask(door.port, request)
    found = []
    for number in range(times):
        found.append(_start_once(home, folder / "start.log", request))
        say(f"  start {number + 1} of {times}: {found[-1]:.1f} s")
    return Start(tuple(round(seconds, 2) for seconds in found))


def _start_once(home: Path, log: Path, request: bytes) -> float:
    if is_up(home):
        raise PeerError(f"the platform of {home} says that it is up, though it was stopped; its stop is broken")
    env = up_environment(home)
    port = int(env["AIMASS_PORT"])
    begun = time.perf_counter()
    with running(up_command(), env, log, lambda: _answers(port, request)):
        return time.perf_counter() - begun


def _answers(port: int, request: bytes) -> bool:
    try:
        return ask(port, request)[0].status == 200
    except OSError:
        return False
