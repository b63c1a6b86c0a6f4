"""What /proc tells about processes: start, owner, command, and whether one provably belongs to a platform's Ray."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
MARK = "AIMASS_RAY_DIR"  # set by `aimass up` for what it starts, and by nobody else


@dataclass(frozen=True)
class Process:
    """A process at one moment; (pid, start_ticks) names it for good, within one boot."""

    pid: int
    start_ticks: int
    command: str


def boot_id() -> str:
    """This boot's id; empty where the kernel offers none."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def inspect(pid: int) -> Process | None:
    """The process, or none if there is none (a zombie counts as gone)."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    parts = rest.split()
    if parts[0] in "ZX":
        return None
    command = " ".join(raw.decode(errors="replace").replace("\0", " ").split())
    return Process(pid, int(parts[19]), command or name)


def parent_of(pid: int) -> int:
    """The parent's pid; 0 when the process is gone."""
    try:
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def is_alive(pid: int, start_ticks: int) -> bool:
    """Whether this very process still runs, not another under its number."""
    found = inspect(pid)
    return found is not None and found.start_ticks == start_ticks


def all_pids() -> Iterator[int]:
    """Every process this machine shows us."""
    for entry in PROC.iterdir() if PROC.is_dir() else ():
        if entry.name.isdigit():
            yield int(entry.name)


def cpu_seconds(processes: Iterable[Process]) -> float:
    """User and system time of these so far; one that is gone counts for nothing."""
    total = 0
    for process in processes:
        try:
            fields = (PROC / str(process.pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def open_files(pid: int) -> Iterator[tuple[str, bool]]:
    """Where each descriptor of the process leads, and whether it is open for writing; nothing if we may not look."""
    try:
        links = list((PROC / str(pid) / "fd").iterdir())
    except OSError:
        return
    for link in links:
        try:
            yield str(link.readlink()), bool(link.lstat().st_mode & 0o200)
        except OSError:
            continue


def belongs_to(pid: int, ray_dir: Path) -> bool:
    """Proof that a process is of the Ray in ``ray_dir``: it carries our mark, or holds a file there open for writing.

    Ray's own agents and workers overwrite their environment with their title, so that often only the open log is left.
    """
    try:
        if (PROC / str(pid)).stat().st_uid != os.getuid():
            return False
        environment = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    if f"{MARK}={ray_dir}".encode() in environment:
        return True
    return any(writes and target.startswith(f"{ray_dir}/") for target, writes in open_files(pid))


def members(ray_dir: Path) -> list[Process]:
    """Every process proven to be of the Ray in ``ray_dir``, other than this one and those it descends from."""
    own = set()
    pid = os.getpid()
    while pid > 1 and pid not in own:
        own.add(pid)
        pid = parent_of(pid)
    found = (inspect(pid) for pid in all_pids() if pid not in own and belongs_to(pid, ray_dir))
    return [process for process in found if process is not None]


def children() -> list[Process]:
    """Those that this process has started and that still run, also one that a signal caught before it had a mark."""
    found = (inspect(pid) for pid in all_pids() if parent_of(pid) == os.getpid())
    return [process for process in found if process is not None]


def send(process: Process, number: signal.Signals) -> None:
    """A signal to this very process; gone already is fine."""
    if is_alive(process.pid, process.start_ticks):
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return


def wait_gone(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Those that still run after at most ``seconds``."""
    left = list(processes)
    until = time.monotonic() + seconds
    while left and time.monotonic() < until:
        left = [process for process in left if is_alive(process.pid, process.start_ticks)]
        if left:
            time.sleep(0.05)
    return left


def end(find: Callable[[], list[Process]], patience_s: float = 2.0) -> int:
    """Ends what ``find`` finds, asking first; looks again until nothing new appears. Returns how many there were."""
    ended: set[tuple[int, int]] = set()
    for _ in range(5):
        found = find()
        if not found:
            break
        ended |= {(process.pid, process.start_ticks) for process in found}
        for process in found:
            send(process, signal.SIGTERM)
        for process in wait_gone(found, patience_s):
            send(process, signal.SIGKILL)
        wait_gone(found, 1.0)
    return len(ended)
