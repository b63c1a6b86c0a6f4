"""The payload log as verbs: what is kept of each service, take it along, remove it; and its upkeep."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.core.errors import Conflict, Denied, NotFound
from aimass.database.tables import RevisionRow, ServiceRow
from aimass.monitoring.payloads import retention
from aimass.monitoring.payloads.parquet import to_table
from aimass.monitoring.payloads.reading import files, read_file, spilt
from aimass.monitoring.payloads.retention import Keep
from aimass.monitoring.payloads.storing import store, write_table

if TYPE_CHECKING:
    import pyarrow as pa

PIECE_BYTES = 1024 * 1024
TEND_S = 10.0


def tend(context: Context) -> None:
    """What replicas have spilt becomes Parquet, and what is old or too much goes."""
    folder = context.settings.home.payloads
    if not folder.is_dir():
        return
    try:
        store(folder)
    finally:  # a disk that is full is one of the reasons to sweep
        with context.database.reading() as session:
            keeps = _keeps(session)
        retention.sweep(folder, keeps, context.clock.now())


def show(context: Context, service: str = "") -> list[dict[str, Any]]:
    """What is kept, by service and day, and how many calls were dropped by reason; of one service or of all."""
    folder = context.settings.home.payloads
    with context.database.reading() as session:
        _check_owned(session, context, service)
        wanted = _settings(session)
    overview = context.pusher.overview()
    dropped = overview.counts.payloads_dropped if overview else {}
    names = [service] if service else sorted({*wanted, *retention.services(folder)})
    return [
        {
            "service": name,
            "settings": wanted.get(name),
            "days": [asdict(day) for day in retention.days(folder, name)],
            "dropped": {reason: int(count) for (of, reason), count in sorted(dropped.items()) if of == name},
        }
        for name in names
    ]


def export(context: Context, service: str) -> Iterator[bytes]:
    """All that is kept of a service as one Parquet file; encrypted columns stay encrypted."""
    import pyarrow as pa

    folder = context.settings.home.payloads
    with context.database.reading() as session:
        _check_owned(session, context, service)
    tables = list(_tables(folder, service))
    if not tables:
        raise NotFound(f"nothing is kept of {service}; its document says what is, as in payloads: {{sample: 0.1}}")
    try:
        whole = pa.concat_tables(tables, promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise Conflict(f"the revisions of {service} have tensors of one name and different types: {error}") from error
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "payloads.parquet"
        write_table(_each_once(whole).sort_by("at"), path)
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece


def clean(context: Context, service: str = "") -> dict[str, Any]:
    """Remove all that is kept of a service, or of every one."""
    with context.database.reading() as session:
        _check_owned(session, context, service)
    freed = retention.clean(context.settings.home.payloads, service, context.clock.now())
    return {"service": service or None, "bytes": freed, "message": f"nothing is kept of {service or 'any service'} now"}


def _tables(folder: Path, service: str) -> "Iterator[pa.Table]":
    by_revision: dict[int, list[Any]] = {}
    for payload in spilt(folder, service):
        by_revision.setdefault(payload.revision, []).append(payload)
    for payloads in by_revision.values():
        yield to_table(payloads)
    for path in files(folder, service):
        yield read_file(path)


def _each_once(table: "pa.Table") -> "pa.Table":
    """What became Parquet between the two looks was seen twice."""
    first = {request_id: index for index, request_id in enumerate(table.column("request_id").to_pylist())}
    return table.take(sorted(first.values()))


def _settings(session: Session) -> dict[str, Any]:
    """By service, what its newest revision that was not refused says of payloads, or the newest one that says."""
    query = select(RevisionRow).where(RevisionRow.error.is_(None)).order_by(RevisionRow.number)
    return {row.service: row.document["payloads"] for row in session.scalars(query) if "payloads" in row.document}


def _keeps(session: Session) -> dict[str, Keep]:
    return {name: Keep(said["keep_days"], said["keep_mb"]) for name, said in _settings(session).items()}


def _check_owned(session: Session, context: Context, service: str) -> None:
    """``NotFound`` for a service that is not there, ``Denied`` for another account's."""
    if not service:
        return
    row = session.get(ServiceRow, service)
    if row is None:
        raise NotFound(f"no service {service!r}; `aimass services` lists them")
    if row.account != context.account:
        raise Denied(f"service {service} belongs to another account; ask for it with a key of that one")
