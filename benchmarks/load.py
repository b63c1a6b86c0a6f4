"""Drives wrk, one thread, with requests that differ, and reads what it measured."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

POINTS = (1.0, *(float(point) for point in range(5, 100, 5)), 97.0, 98.0, 99.0, 99.5, 99.9, 99.99)
"""The percentiles at which latency is kept."""
SCRIPT = Path(__file__).with_name("cycle.lua")


class LoadError(Exception):
    """The load generator is missing, or what it met was not a working server."""


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw. ``latency_us`` stands at POINTS."""

    requests: int
    duration_us: int
    latency_us: tuple[int, ...]
    refused: int  # answers above 399
    broken: int  # connections that failed, reads and writes that failed or took too long

    @property
    def requests_per_s(self) -> float:
        return self.requests * 1e6 / self.duration_us

    def percentile_us(self, point: float) -> int:
        """Latency at one of POINTS."""
        return self.latency_us[POINTS.index(point)]


def require_wrk() -> str:
    """Where wrk is; ``LoadError`` that says how to get it."""
    found = shutil.which("wrk")
    if found is None:
        raise LoadError("wrk, the load generator, is not installed; on Debian and Ubuntu: sudo apt-get install wrk")
    return found


def drive(port: int, requests: Path, count: int, connections: int, seconds: float, may_refuse: bool = False) -> Load:
    """Sends the ``count`` requests of a folder in turn over ``connections`` for at least ``seconds``.

    wrk counts whole seconds. ``LoadError`` when anything but good answers came back; unless it ``may_refuse``.
    """
    command = [require_wrk(), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    answer = subprocess.run(
        [*command, "-s", str(SCRIPT), f"http://127.0.0.1:{port}"],
        env={
            **os.environ,
            "BENCH_REQUESTS": str(requests),
            "BENCH_COUNT": str(count),
            "BENCH_POINTS": ",".join(map(str, POINTS)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise LoadError(f"wrk failed on port {port}: {answer.stderr.strip() or answer.stdout.strip()}")
    load = read(answer.stdout)
    if (load.refused and not may_refuse) or load.broken or not load.requests:
        raise LoadError(
            f"port {port} at {connections} connections: of {load.requests} requests {load.refused} were refused and "
            f"{load.broken} connections broke; such a run measures nothing"
        )
    return load


def read(output: str) -> Load:
    """wrk's output, which ends with the line that cycle.lua prints."""
    for line in output.splitlines():
        if line.startswith("RESULT "):
            found = json.loads(line.removeprefix("RESULT "))
            return Load(**{**found, "latency_us": tuple(found["latency_us"])})
    raise LoadError(f"wrk printed no result: {output.strip() or 'nothing'}")
