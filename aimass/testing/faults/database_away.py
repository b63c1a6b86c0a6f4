"""A database that nobody can reach for a while: every lock that a reader or writer of SQLite needs one of is taken."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from aimass.core.home import Home

WAL_LOCKS, WAL_LOCKS_AT = 8, 120  # bytes of the -shm file, see SQLite's "WAL-mode file format"


@contextmanager
def database_away(home: Home) -> Iterator[None]:
    """While the block runs nobody can begin a transaction; those under way have ended before it begins.

    The block must not open the database itself: a process that closes any handle of a file loses its locks on it.
    """
    with home.database.with_name(f"{home.database.name}-shm").open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, WAL_LOCKS, WAL_LOCKS_AT)
        yield
