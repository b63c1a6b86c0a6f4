"""How long payloads stay, and what is there: by age and size, as each service says."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aimass.monitoring.payloads.cleaning import mark
from aimass.monitoring.payloads.reading import files, spilt
from aimass.monitoring.payloads.secrets import day_of
from aimass.monitoring.payloads.spill import FOLDER, set_aside
from aimass.monitoring.payloads.storing import SUFFIX

DAY_S = 86400.0
MB = 1_000_000
ASIDE_S = DAY_S  # for a look at what is wrong with it


@dataclass(frozen=True)
class Keep:
    """Of one service."""

    days: float = 7.0
    mb: float = 500.0


@dataclass(frozen=True)
class Day:
    """What is kept of one day; ``bytes``: of its Parquet files, and of the tensors that are not in one yet."""

    day: str
    calls: int
    errors: int
    rows: int
    bytes: int


def sweep(folder: Path, keeps: Mapping[str, Keep], now: float) -> int:
    """Remove what is older than its service keeps it, then the oldest until the rest fits; the bytes freed. What
    was set aside goes after ``ASIDE_S``."""
    freed = 0
    for path in set_aside(folder / FOLDER):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < now - ASIDE_S:
                path.unlink()
    for place in folder.glob("service=*"):
        keep = keeps.get(place.name.partition("=")[2], Keep())
        found = []
        for path in place.glob(f"day=*/*{SUFFIX}"):
            with suppress(FileNotFoundError):
                about = path.stat()
                found.append((about.st_mtime, about.st_size, path))
        total = sum(size for _, size, _ in found)
        for at, size, path in sorted(found):
            if at >= now - keep.days * DAY_S and total <= keep.mb * MB:
                break
            path.unlink(missing_ok=True)
            total, freed = total - size, freed + size
        _remove_empty(place)
    return freed


def clean(folder: Path, names: Collection[str], now: float, with_aside: bool = False) -> int:
    """Remove all of these services; the bytes of their files. Replicas let go of the rest within seconds.
    ``with_aside``: what was set aside goes too; whose it is cannot be read."""
    mark(folder, names, now)
    freed = 0
    for name in names:
        for path in folder.glob(f"service={name}/day=*/*"):  # also what a writer that was killed has left half-written
            with suppress(FileNotFoundError):
                freed += path.stat().st_size
                path.unlink()
        _remove_empty(folder / f"service={name}")
    for path in set_aside(folder / FOLDER) if with_aside else ():
        path.unlink(missing_ok=True)
    return freed


def services(folder: Path) -> list[str]:
    """Those of which something is kept."""
    stored = {path.parent.parent.name.partition("=")[2] for path in files(folder)}
    return sorted(stored | {item.service for item in spilt(folder)})


def days(folder: Path, service: str) -> list[Day]:
    """What is kept of a service, oldest first."""
    import pyarrow.parquet as pq

    seen: set[str] = set()
    found: dict[str, list[int]] = {}

    def count(day: str, calls: Any, size: int = 0) -> None:
        total = found.setdefault(day, [0, 0, 0, 0])
        total[3] += size
        for request_id, status, rows in calls:
            if request_id not in seen:
                seen.add(request_id)
                total[0] += 1
                total[1] += status != 200
                total[2] += rows

    for item in spilt(folder, service):
        size = sum(len(column.data) for column in item.columns)
        count(day_of(item.at), [(item.request_id, item.status, item.rows)], size)
    for path in files(folder, service):
        with suppress(FileNotFoundError):
            table = pq.read_table(path, columns=["request_id", "status", "rows"], partitioning=None)
            calls = zip(*(column.to_pylist() for column in table.columns), strict=True)
            count(path.parent.name.partition("=")[2], calls, path.stat().st_size)
    return [Day(day, *found[day]) for day in sorted(found)]


def _remove_empty(place: Path) -> None:
    for day in place.glob("day=*"):
        with suppress(OSError):
            day.rmdir()
    with suppress(OSError):
        place.rmdir()
