"""The database as the rest sees it: one writing or reading transaction at a time, and its failures in our words."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from aimass.core.errors import Invalid, Unavailable

BUSY_TIMEOUT_MS = 10_000
_READING = "aimass_reading"


class Database:
    """Hands out transactions; safe to share between threads, each transaction has a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._readers = engine.execution_options(**{_READING: True})

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One writing transaction: committed at the end, rolled back on any error. Writers take turns.

        ``Unavailable`` when the database is locked or all its connections are taken for too long, and when it is
        read-only, full or broken.
        """
        with self._said_plainly(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            session.connection()  # begins now: what the block does outside the database happens under the lock too
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One reading transaction: a stable picture of the database that keeps no writer waiting."""
        with self._said_plainly(), Session(self._readers, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        """Close every connection; a transaction afterwards would open new ones."""
        self.engine.dispose()

    @contextmanager
    def _said_plainly(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise  # a broken constraint is a mistake of ours, not a state of the database
        except DatabaseError as error:
            where = self.engine.url.database
            raise Unavailable(
                f"database {where}: {error.orig}; `aimass doctor` looks at disk, permissions and locks",
                retry_after_s=1.0,
            ) from error
        except PoolTimeout as error:
            where = self.engine.url.database
            raise Unavailable(f"database {where}: every connection is taken; try again", retry_after_s=1.0) from error


def open_database(url: str) -> Database:
    """The database at ``sqlite:///PATH``; its file and folder are made when they are missing."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Invalid(f"{url!r} is not a database URL; it reads sqlite:///PATH", field="database_url") from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise Invalid(f"{url!r}: the database must be a file, as in sqlite:///PATH", field="database_url")
    folder = Path(parsed.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot make {folder} for the database: {error.strerror}") from error
    engine = create_engine(parsed)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return Database(engine)


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3's own implicit BEGIN would come too late; ours is in _begin
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    _enter_wal(cursor)
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _enter_wal(cursor: Any) -> None:
    """SQLite does not wait its busy time-out when two connections turn a new file into WAL at once; so we do."""
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.01)


def _begin(connection: Connection) -> None:
    """Writers take the write lock at once: an upgrade from reading would fail with "locked" instead of waiting."""
    reading = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
