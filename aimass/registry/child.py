"""Work on a model in a process of its own: its memory is measurable and bounded, and a crash takes nobody along."""

import os
import resource
import runpy
import subprocess
import sys
from pathlib import Path

import aimass
from aimass.core.errors import Invalid

TIMEOUT_S = 120.0  # a model that answers 128 rows in 5 s is profiled within that


def run_child(module: str, *arguments: str, stdin: str = "") -> str:
    """The last line that ``python -m module`` prints; ``Invalid`` with its last complaint when it fails."""
    root = str(Path(aimass.__file__).parent.parent)
    path = os.pathsep.join(item for item in (root, os.environ.get("PYTHONPATH", "")) if item)
    try:
        child = subprocess.run(
            [sys.executable, "-m", __name__, module, *arguments],
            input=stdin,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},  # spinning threads would spoil the times
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # onnxruntime prints names as they stand in the file
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Invalid(f"the model took more than {TIMEOUT_S:.0f} s to be looked at; use a smaller one") from error
    if child.returncode < 0:
        raise Invalid(
            f"the model crashed the process that looked at it (signal {-child.returncode}): its file is damaged or "
            "needs more memory than is free; export it again, or use a smaller one"
        )
    said = child.stderr if child.returncode else child.stdout
    lines = said.strip().splitlines() or [f"{module} said nothing"]
    if child.returncode or not child.stdout:
        raise Invalid(lines[-1])
    return lines[-1]


def memory_limit() -> int:
    """Bytes that a child may hold: half of the machine's memory, so that the platform keeps the other half."""
    wanted = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _main(module: str) -> None:
    limit = memory_limit()
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    del sys.argv[1]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except MemoryError as error:
        raise SystemExit(
            f"the model needs more than {limit / 2**30:.1f} GiB to be looked at; use a smaller one"
        ) from error


if __name__ == "__main__":
    _main(sys.argv[1])
