"""Payloads read again, from Parquet and from what replicas have spilt a moment ago."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimass.core.home import Home
from aimass.monitoring.payloads import record
from aimass.monitoring.payloads.cleaning import is_cleaned
from aimass.monitoring.payloads.parquet import from_table
from aimass.monitoring.payloads.payload import Payload
from aimass.monitoring.payloads.secrets import day_of
from aimass.monitoring.payloads.spill import FOLDER, parts, records
from aimass.monitoring.payloads.storing import SUFFIX

if TYPE_CHECKING:
    import pyarrow as pa


def read(
    home: Home, service: str = "", since: float = 0.0, request_ids: Collection[str] | None = None
) -> list[Payload]:
    """Of one service or of all, ended at ``since`` (epoch seconds) or later, only those of ``request_ids`` where given;
    each once, in the order of time. Encrypted columns stay shut: see ``secrets.Secrets.open``."""
    if request_ids is not None and not request_ids:
        return []
    gone = is_cleaned(home.payloads)
    wanted = None if request_ids is None else set(request_ids)
    found: dict[str, Payload] = {}
    spills = spilt(home.payloads, service)  # first: what becomes Parquet meanwhile is there then
    for payload in (*spills, *_stored(home.payloads, service, since, wanted)):
        is_wanted = wanted is None or payload.request_id in wanted
        if is_wanted and payload.at >= since and not gone(payload.service, payload.at):
            found[payload.request_id] = payload
    return sorted(found.values(), key=lambda payload: payload.at)


def read_file(path: Path, rows: Sequence[Any] | None = None) -> "pa.Table":
    """One Parquet file as ``parquet.to_table`` made it; ``rows``: filters as pyarrow takes them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path, filters=rows, partitioning=None)
    service = path.parent.parent.name.partition("=")[2]
    return table.append_column("service", pa.array([service] * table.num_rows, pa.string()))


def files(folder: Path, service: str = "", since: float = 0.0) -> list[Path]:
    """The Parquet files with calls of these days, by day."""
    first = f"day={day_of(since)}"
    found = folder.glob(f"service={service or '*'}/day=*/*{SUFFIX}")
    return sorted((path for path in found if path.parent.name >= first), key=lambda path: (path.parent.name, path.name))


def spilt(folder: Path, service: str = "") -> list[Payload]:
    """What is not Parquet yet."""
    gone = is_cleaned(folder)
    found = []
    for path in parts(folder / FOLDER):
        with suppress(FileNotFoundError):
            payloads, _ = record.decode_all(records(path))  # ``storing`` tells of those that cannot be read
            for item in payloads:
                if service in ("", item.service) and not gone(item.service, item.at):
                    found.append(item)
    return found


def _stored(folder: Path, service: str, since: float, wanted: set[str] | None) -> Iterator[Payload]:
    rows: list[Any] = [("at", ">=", since)]
    if wanted is not None:
        rows.append(("request_id", "in", wanted))
    for path in files(folder, service, since):
        with suppress(FileNotFoundError):
            yield from from_table(read_file(path, rows))
