"""``platform.json``: who runs the platform of a home and where it listens. Standard library only."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from aimass.core.home import Home, write_whole

NAMESPACE = "aimass"  # of all our actors in the platform's Ray
RECONCILER = "aimass-reconciler"  # the one that everybody asks for by name


@dataclass(frozen=True)
class PlatformFile:
    """Written by ``aimass up``; a process is the one meant here only if pid, start time and boot all agree."""

    pid: int
    start_ticks: int  # the process's start, in clock ticks since boot
    boot_id: str
    url: str  # the door for calls
    control_url: str
    tls_cert: str  # the certificate to trust on both; empty: plain HTTP
    ray_dir: str  # Ray's sessions, sockets and logs
    ray_address: str
    ray_dashboard: str  # host:port of Ray's dashboard and job API
    version: str
    started_at: float
    ready: bool  # false while the platform starts
    grpc: str = ""  # host:port of the gRPC door; empty: none

    def write(self, home: Home) -> None:
        """Atomically, so that a reader sees the old or the new file."""
        write_whole(home.platform_file, f"{json.dumps(asdict(self), indent=2)}\n".encode())


def read_platform_file(path: Path) -> PlatformFile | None:
    """What the file says; none when there is none, or none that this version understands."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return PlatformFile(**{field.name: data[field.name] for field in fields(PlatformFile)})
    except (OSError, ValueError, KeyError, TypeError):
        return None
