"""Which ports are free, who listens on the others, and whether a listener can be reached from outside."""

import errno
import ipaddress
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from aimass.control.platform.processes import all_pids, inspect, open_files
from aimass.core.errors import Conflict, Invalid

_LISTEN = "0A"


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket; pid 0 when its owner is hidden from us."""

    host: str
    port: int
    pid: int
    command: str

    @property
    def is_local(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback


def listeners(pids: Collection[int] | None = None) -> list[Listener]:
    """Every listener of this machine, or of these processes only, by port."""
    found = []
    owners = _socket_owners(pids)
    for inode, host, port in _listening():
        pid = owners.get(inode, 0)
        if pids is not None and not pid:
            continue
        process = inspect(pid) if pid else None
        found.append(Listener(host, port, pid, process.command if process else "unknown"))
    return sorted(found, key=lambda item: (item.port, item.host))


def is_free(host: str, port: int) -> bool:
    """Whether a listener that shares with nobody could be opened. Old connections that linger do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            if error.errno in (errno.EACCES, errno.EPERM):
                raise Invalid(f"port {port} may not be opened by this user; choose one above 1023", "port") from error
            raise Invalid(f"cannot listen on {host}:{port}: {error.strerror}", "port") from error
    return True


def check_free(host: str, port: int, option: str) -> None:
    """``Conflict`` that names the owner when the port is taken. ``option`` is the flag that moves it."""
    if is_free(host, port):
        return
    taken = [item for item in listeners() if item.port == port]
    free = next((other for other in range(port + 10, min(port + 500, 65535), 10) if is_free(host, other)), port + 10)
    raise Conflict(
        f"port {port} is taken by {describe(taken[0]) if taken else 'a process that this user may not see'}; "
        f"stop it, or move with {option} {free}",
        field=option,
    )


def describe(listener: Listener) -> str:
    """The owner in words: pid, command, and the home when it is an AI Mass."""
    if not listener.pid:
        return "a process of another user"
    home = platform_home(listener.pid)
    command = listener.command if len(listener.command) <= 80 else listener.command[:77] + "..."
    owner = f"pid {listener.pid} ({command})"
    return f"{owner}, the AI Mass of {home}" if home else owner


def platform_home(pid: int) -> str:
    """The home of the platform whose Ray the process belongs to; empty if it belongs to none."""
    for target, writes in open_files(pid):
        path = Path(target)
        if writes and len(path.parts) > 2:
            for folder in path.parents:
                if folder.name.startswith("aimass-") and (folder / "home").is_file():
                    return (folder / "home").read_text(encoding="utf-8").strip()
    return ""


def _listening() -> Iterator[tuple[str, str, int]]:
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN:
                address, _, port = fields[1].partition(":")
                yield fields[9], _address(address), int(port, 16)


def _address(text: str) -> str:
    """The kernel's hexadecimal, whose 32-bit words are in the machine's (here little-endian) order."""
    raw = b"".join(bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8))
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _socket_owners(pids: Collection[int] | None) -> dict[str, int]:
    owners: dict[str, int] = {}
    for pid in all_pids() if pids is None else pids:
        for target, _ in open_files(pid):
            if target.startswith("socket:["):
                owners.setdefault(target[8:-1], pid)
    return owners
