"""One platform per home: a lock that names its holder and that the kernel lets go with it, also after ``kill -9``."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aimass.control.platform.processes import Process, boot_id, inspect
from aimass.core.errors import Conflict
from aimass.core.home import Home, owning


@contextmanager
def hold(home: Home, sign: bool = True) -> Iterator[None]:
    """Holds the home's lock; ``Conflict`` when another process holds it.

    Signed, which is what ``aimass up`` does from its first moment on, it names this process as the one to stop.
    """
    descriptor = os.open(_path(home), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"a platform runs already from {home.path}; stop it with: aimass down") from None
        os.truncate(descriptor, 0)
        if sign:
            os.pwrite(descriptor, _signature(inspect(os.getpid())).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_held(home: Home) -> bool:
    """Whether a live process holds the home's lock."""
    with suppress(OSError), owning(_path(home)) as is_free:
        return not is_free
    return False


def holder(home: Home) -> Process | None:
    """The ``aimass up`` that holds the lock; none while nobody does, or an ``aimass down`` clears the home."""
    if not is_held(home):
        return None
    text = _path(home).read_text(encoding="utf-8")
    pid = text.split(" ")[0]
    process = inspect(int(pid)) if pid.isdigit() else None
    return process if text == _signature(process) else None


def _path(home: Home) -> Path:
    return home.path / "up.lock"


def _signature(process: Process | None) -> str:
    """Names a process for good: its number is used again after its end, its start within this boot is not."""
    return f"{process.pid} {process.start_ticks} {boot_id()}" if process else "nobody"
