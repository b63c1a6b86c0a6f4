"""From spill files to Parquet: partitioned by service and day, each call once, however often it is tried.

A part whose owner lives is left alone. Its Parquet files are named as the part, and it goes when all of them are there:
whoever is killed in between does the same again.
"""

import logging
import os
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from aimass.core.home import owning
from aimass.monitoring.payloads import record
from aimass.monitoring.payloads.cleaning import is_cleaned
from aimass.monitoring.payloads.parquet import to_table
from aimass.monitoring.payloads.payload import Payload
from aimass.monitoring.payloads.secrets import day_of
from aimass.monitoring.payloads.spill import FOLDER, parts, put_aside, records

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".parquet"

_log = logging.getLogger(__name__)


def store(folder: Path) -> int:
    """Take over every part that is not written any more; the number of calls. A part that cannot be read is set aside.
    ``OSError`` as the disk says it, after all were tried: what could not be stored stays where it is."""
    stored, refused = 0, None
    for path in parts(folder / FOLDER):
        try:
            stored += _store_part(folder, path)
        except FileNotFoundError:
            pass  # somebody else took it
        except OSError as error:
            refused = error
    if refused is not None:
        raise refused
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
    with owning(path) as is_ours:  # else its owner lives, or somebody stores it just now
        return _move(folder, path) if is_ours else 0


def _move(folder: Path, path: Path) -> int:
    """A part's calls to Parquet, and the part away: removed, or set aside where some of it does not become Parquet."""
    gone = is_cleaned(folder)
    payloads, wrong = record.decode_all(records(path))
    stored = 0
    for payload_group in _groups(item for item in payloads if not gone(item.service, item.at)):
        try:
            _write(folder, path.stem, payload_group)
            stored += len(payload_group)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - one revision's calls must not keep all behind them from Parquet
            wrong = error
    if wrong is None:
        path.unlink()
    else:
        _log.error("some calls cannot be stored; %s is kept for a day", put_aside(path), exc_info=wrong)
    return stored


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
