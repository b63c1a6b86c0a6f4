"""Who holds a lease: a process that another one can prove to be gone, if it runs on the same machine."""

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from aimass.control.platform.processes import boot_id, inspect, is_alive


@dataclass(frozen=True)
class Holder:
    """One part of one process. A host's name proves nothing, so boot and pid namespace say which machine it is."""

    host: str
    boot: str
    namespace: str
    pid: int
    start_ticks: int
    part: str

    def __str__(self) -> str:
        return " ".join(map(str, (self.host, self.boot, self.namespace, self.pid, self.start_ticks, self.part)))

    @property
    def in_words(self) -> str:
        return f"pid {self.pid} on {self.host}"


def me() -> Holder:
    """A holder of this process, which no other part of it is."""
    process = inspect(os.getpid())
    ticks = process.start_ticks if process else 0
    host = socket.gethostname().replace(" ", "-") or "unnamed"
    return Holder(host, boot_id() or "-", _namespace(), os.getpid(), ticks, uuid.uuid4().hex[:8])


def read(text: str) -> Holder | None:
    """None for what no holder of this version wrote."""
    parts = text.split(" ")
    if len(parts) != 6 or not (parts[3].isdigit() and parts[4].isdigit()):
        return None
    host, boot, namespace, pid, ticks, part = parts
    return Holder(host, boot, namespace, int(pid), int(ticks), part)


def is_surely_dead(text: str, mine: Holder, one_machine: bool) -> bool:
    """Whether that holder's process has provably ended. ``one_machine``: nobody elsewhere can reach the database, so
    that another boot is an earlier one."""
    found = read(text)
    if found is None or "-" in (found.boot, found.namespace):
        return False
    if found.boot != mine.boot:
        return one_machine
    return found.namespace == mine.namespace and not is_alive(found.pid, found.start_ticks)


def _namespace() -> str:
    """Of this process's pids: in another container the same number is another process."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "-"
