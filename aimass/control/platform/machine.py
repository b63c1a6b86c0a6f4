"""Facts about this machine that decide whether a platform can start: disk, memory, shared memory, Python, packages."""

import os
import platform
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

MIB = 1024 * 1024
PACKAGES = ("ray", "onnxruntime-gpu", "numpy", "scikit-learn", "sqlalchemy", "protobuf")


@dataclass(frozen=True)
class Machine:
    """All sizes in bytes; -1 where this system does not tell."""

    python: str
    system: str
    cpus: int
    memory_available: int
    shared_memory_free: int
    home_writable: str  # why the home cannot be written; empty: it can
    home_free: int
    temporary_free: int
    packages: dict[str, str]  # name → version; empty text: not installed
    gpus: int = 0  # NVIDIA's
    no_cuda: str = ""  # why onnxruntime cannot use them


def look(home: Path, temporary: Path) -> Machine:
    """Gathers the facts. Writes a megabyte into the home (or where it would be made) and removes it: can it?"""
    gpus = gpu_count()
    return Machine(
        python=platform.python_version(),
        system=platform.system(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_available=memory_available(),
        shared_memory_free=_free(Path("/dev/shm")) if platform.system() == "Linux" else -1,
        home_writable=why_not_writable(_existing(home)),
        home_free=_free(home),
        temporary_free=_free(temporary),
        packages={name: _version(name) for name in PACKAGES},
        gpus=gpus,
        no_cuda=_why_no_cuda() if gpus else "",
    )


def why_not_writable(folder: Path) -> str:
    """Empty if a megabyte can be written and synced there."""
    try:
        probe = folder / f".probe-{os.getpid()}"
        try:
            with probe.open("wb") as file:
                file.write(b"\0" * MIB)
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def memory_available() -> int:
    """What the kernel would give new processes, or less where a container's limit is nearer."""
    free = -1
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit.isdigit():
            used = int(Path("/sys/fs/cgroup/memory.current").read_text())
            free = min(free, int(limit) - used)
    except OSError:
        return free
    return free


def gpu_count(devices: Path = Path("/dev")) -> int:
    """NVIDIA's devices of this machine."""
    return sum(1 for item in devices.glob("nvidia[0-9]*") if item.name.removeprefix("nvidia").isdigit())


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(_existing(folder)).free
    except OSError:
        return -1


def _why_no_cuda() -> str:
    from aimass.runtimes.cuda import why_no_cuda  # brings onnxruntime

    return why_no_cuda()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
