"""One platform per home: a lock that the kernel lets go with its holder, also after ``kill -9``."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from aimass.core.errors import Conflict
from aimass.core.home import Home


@contextmanager
def hold(home: Home) -> Iterator[None]:
    """Holds the home's lock; ``Conflict`` when another process holds it."""
    descriptor = os.open(home.path / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"a platform runs already from {home.path}; stop it with: aimass down") from None
        yield
    finally:
        os.close(descriptor)


def is_held(home: Home) -> bool:
    """Whether a live process holds the home's lock."""
    try:
        descriptor = os.open(home.path / "up.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
