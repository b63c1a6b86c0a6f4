"""The machine in words, and how much of it others took meanwhile."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("ray", "uvicorn", "uvloop", "httptools", "starlette", "orjson", "onnxruntime-gpu", "onnxruntime", "numpy")


def describe() -> dict[str, Any]:
    """What a reader needs to know to compare; no host name."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def slug(machine: dict[str, Any]) -> str:
    """A short name for files."""
    words = re.sub(r"[^a-z0-9]+", "-", machine["cpu"].lower()).strip("-")
    return f"{words}-{machine['cores']}-cores"


def cpu_times() -> tuple[int, int]:
    """Clock ticks since boot: all, and those stolen by the hypervisor. Zeros where the kernel does not tell."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return 0, 0
    return sum(fields[:8]), fields[7]


def stolen_percent(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Between two readings of ``cpu_times``."""
    total = after[0] - before[0]
    return round(100 * (after[1] - before[1]) / total, 1) if total else 0.0


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
