"""Work on a model in a process of its own: its memory is measurable, and a crash takes nobody along."""

import os
import subprocess
import sys
from pathlib import Path

import aimass
from aimass.core.errors import Invalid

TIMEOUT_S = 300.0


def run_child(module: str, *arguments: str, stdin: str = "") -> str:
    """The last line that ``python -m module`` prints; ``Invalid`` with its last complaint when it fails."""
    root = str(Path(aimass.__file__).parent.parent)
    path = os.pathsep.join(item for item in (root, os.environ.get("PYTHONPATH", "")) if item)
    try:
        child = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            input=stdin,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},  # spinning threads would spoil the times
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Invalid(f"the model took more than {TIMEOUT_S:.0f} s to be looked at; use a smaller one") from error
    if child.returncode < 0:
        raise Invalid(f"the model crashed the process that looked at it (signal {-child.returncode}); is memory short?")
    said = child.stderr if child.returncode else child.stdout
    lines = said.strip().splitlines() or [f"{module} said nothing"]
    if child.returncode or not child.stdout:
        raise Invalid(lines[-1])
    return lines[-1]
