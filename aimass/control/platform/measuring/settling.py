"""What is measured right after a deploy is measured beside it: replicas come and go, and Ray starts workers ahead."""

import time
from pathlib import Path

from aimass.control.platform.processes import cpu_seconds, members

QUIET_CORES = 0.3  # an idle platform takes half of that
WINDOW_S = 0.5
PATIENCE_S = 20.0  # a machine that never gets quiet is measured as it is


def settle(ray_dir: Path) -> None:
    """Waits until the platform's processes take next to nothing."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        processes = members(ray_dir)
        before = cpu_seconds(processes)
        time.sleep(WINDOW_S)
        if cpu_seconds(processes) - before < QUIET_CORES * WINDOW_S and len(members(ray_dir)) <= len(processes):
            return
