"""What a version costs to run on this machine: µs by rows per call, and the memory that it holds while loaded.

``python -m aimass.registry.profiler FOLDER RUNTIME < signature.json`` measures in a process of its own, so that the
memory is the version's alone, and prints the profile as JSON.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aimass.core import plugins
from aimass.core.batch import Batch
from aimass.core.errors import AimassError, Invalid
from aimass.core.signature import Signature
from aimass.registry.child import run_child
from aimass.registry.manifest import Profile
from aimass.runtimes import RUNTIMES
from aimass.runtimes.base import Runtime
from aimass.runtimes.samples import random_rows

BATCHES = (1, 8, 32, 128)
BUDGET_S = 0.25  # per batch size
MIN_CALLS, MAX_CALLS = 7, 500
FORGET_BYTES = 4 * 1024 * 1024  # read before a lone call: what a core's own caches hold is gone then


def profile(folder: Path, runtime: str, signature: Signature) -> Profile:
    """Measure a checked-out version in a fresh child process; ``Invalid`` when it cannot be loaded or run."""
    told = json.dumps(signature.to_json())
    return Profile.from_json(json.loads(run_child("aimass.registry.profiler", str(folder), runtime, stdin=told)))


def profile_callable(run: Callable[[Batch], Batch], signature: Signature, memory_bytes: int) -> Profile:
    """Measure anything that answers batches, in this process; its memory is the caller's to know."""
    generator = np.random.default_rng(0)
    times: dict[int, float] = {}
    p95: dict[int, float] = {}
    for rows in BATCHES:
        batch = random_rows(signature.inputs, rows, generator)
        _check_rows(run(batch), rows)
        taken = _time(run, batch)
        times[rows], p95[rows] = float(np.median(taken)), float(np.percentile(taken, 95))
    other = np.ones(FORGET_BYTES, np.uint8)
    alone = _time(run, random_rows(signature.inputs, 1, generator), other.sum)
    return Profile(describe_machine(), times, p95, memory_bytes, float(np.median(alone)))


def describe_machine() -> str:
    """As in ``x86_64, 2 cores, AMD EPYC 7B13``."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ", ".join(part for part in (platform.machine(), f"{cores} cores", _processor()) if part)


def _check_rows(outputs: Batch, rows: int) -> None:
    for name, array in outputs.items():
        if array.shape[:1] != (rows,):
            raise Invalid(
                f"output {name!r} has shape {list(array.shape)} for {rows} rows; rows must come first", field=name
            )


def _time(run: Callable[[Batch], Batch], batch: Batch, before_each: Callable[[], Any] = int) -> list[float]:
    """µs of each call after a few that do not count."""
    started = time.perf_counter()
    for _ in range(3):
        run(batch)
    taken: list[float] = []
    while len(taken) < MIN_CALLS or (len(taken) < MAX_CALLS and time.perf_counter() - started < BUDGET_S):
        before_each()
        before = time.perf_counter_ns()
        run(batch)
        taken.append((time.perf_counter_ns() - before) / 1000)
    return taken


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        return platform.processor()
    return platform.processor()


def _resident_bytes() -> int:
    """Memory of this process that is in RAM; the peak where the system does not tell the present."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _main(folder: str, runtime: str) -> None:
    signature = Signature.from_json(json.load(sys.stdin))
    kind = plugins.load_class(RUNTIMES, runtime, Runtime, field="runtime")  # type: ignore[type-abstract]
    before = _resident_bytes()
    loaded = kind.load(Path(folder), signature)
    measured = profile_callable(loaded.predict, signature, 0)
    held = max(0, _resident_bytes() - before)
    print(json.dumps({**measured.to_json(), "memory_bytes": held}))


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except AimassError as failure:
        raise SystemExit(" ".join(str(failure).split())) from failure
