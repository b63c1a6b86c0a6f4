"""What a dead platform of this home left behind: its processes, its Ray folder, its platform file."""

from dataclasses import dataclass

from aimass.control.platform import ray_dir
from aimass.control.platform.processes import Process, boot_id, end, is_alive, members
from aimass.core.home import Home
from aimass.core.platform_file import PlatformFile, read_platform_file


@dataclass(frozen=True)
class Leftovers:
    """Only what is proven to be this home's."""

    processes: tuple[Process, ...]
    has_folder: bool
    has_file: bool

    def __bool__(self) -> bool:
        return bool(self.processes) or self.has_folder or self.has_file

    def __str__(self) -> str:
        parts = []
        if self.processes:
            pids = ", ".join(str(process.pid) for process in self.processes)
            parts.append(f"{len(self.processes)} processes (pid {pids})")
        if self.has_folder:
            parts.append("its Ray folder")
        if self.has_file:
            parts.append("platform.json")
        return " and ".join(parts)


def running(home: Home) -> PlatformFile | None:
    """The platform that runs from this home, if its ``aimass up`` is alive."""
    found = read_platform_file(home.platform_file)
    if found is None or found.boot_id != boot_id() or not is_alive(found.pid, found.start_ticks):
        return None
    return found


def find(home: Home) -> Leftovers:
    """Leftovers of the home; call it only while no platform runs from it."""
    folder = ray_dir.ray_dir_of(home)
    return Leftovers(tuple(members(folder)), folder.is_dir(), home.platform_file.exists())


def clear(home: Home) -> None:
    """Ends those processes, then removes folder and file."""
    folder = ray_dir.ray_dir_of(home)
    end(lambda: members(folder))
    ray_dir.clear(home)
    home.platform_file.unlink(missing_ok=True)
