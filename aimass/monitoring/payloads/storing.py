"""From spill files to Parquet: partitioned by service and day, each call once, however often it is tried.

A part whose owner lives is left alone. Its Parquet files are named as the part, and it goes when all of them are there:
whoever is killed in between does the same again.
"""

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from aimass.monitoring.payloads import record
from aimass.monitoring.payloads.cleaning import is_cleaned
from aimass.monitoring.payloads.parquet import to_table
from aimass.monitoring.payloads.payload import Payload
from aimass.monitoring.payloads.secrets import day_of
from aimass.monitoring.payloads.spill import FOLDER, parts, records

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".parquet"


def store(folder: Path) -> int:
    """Take over every part that is not written any more; the number of calls. ``OSError`` as the disk says it: what
    could not be stored stays where it is."""
    stored = 0
    for path in parts(folder / FOLDER):
        with suppress(FileNotFoundError):  # somebody else took it
            stored += _store_part(folder, path)
    return stored


def write_table(table: "pa.Table", path: Path) -> None:
    """For its owner only, and whole from the first moment on."""
    import pyarrow.parquet as pq

    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            pq.write_table(table, file, compression="zstd")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _store_part(folder: Path, path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0  # its owner lives, or somebody stores it just now
        gone = is_cleaned(folder)
        payloads = [item for item in map(record.decode, records(path)) if not gone(item.service, item.at)]
        for payload_group in _groups(payloads):
            _write(folder, path.stem, payload_group)
        path.unlink()
        return len(payloads)
    finally:
        os.close(descriptor)


def _groups(payloads: Iterable[Payload]) -> Iterable[list[Payload]]:
    """By service, revision and day, in the order of time."""
    ordered = sorted(payloads, key=attrgetter("service", "revision", "at"))
    for _, group in groupby(ordered, key=lambda item: (item.service, item.revision, day_of(item.at))):
        yield list(group)


def _write(folder: Path, stem: str, payloads: list[Payload]) -> None:
    first, last = payloads[0], payloads[-1]
    place = folder / f"service={first.service}" / f"day={day_of(first.at)}"
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{stem}-r{first.revision}{SUFFIX}"
    write_table(to_table(payloads).drop_columns(["service"]), path)  # its folder says it, to all tools
    os.utime(path, (last.at, last.at))  # how old it is, for retention
