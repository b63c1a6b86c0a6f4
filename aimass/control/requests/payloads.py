"""The payload log as verbs: what is kept of each service, take it along, remove it; and its upkeep."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.requests.owned import find_own, own_services, seen_services
from aimass.control.revisions.standing import standings
from aimass.core.errors import Conflict, NotFound
from aimass.database.tables import RevisionRow
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
    """What is kept, by service and day, what each revision with traffic says of it, and how many calls were dropped by
    reason; of one service or of all that the account has, an operator's of every account."""
    folder = context.settings.home.payloads
    with context.database.reading() as session:
        seen = [find_own(session, context, service).name] if service else seen_services(session, context)
        stands = standings(session)
        said = {name: _said(session, name, stands[name].weights) for name in seen}
    overview = context.pusher.overview()
    dropped = overview.counts.payloads_dropped if overview else {}
    there = retention.services(folder)
    names = [name for name in seen if service or name in there or any(item["payloads"] for item in said[name])]
    return [
        {
            "service": name,
            "settings": said[name],
            "days": [asdict(day) for day in retention.days(folder, name)],
            "dropped": {reason: int(count) for (of, reason), count in sorted(dropped.items()) if of == name},
        }
        for name in names
    ]


def export(context: Context, service: str) -> Iterator[bytes]:
    """All that is kept of a service as one Parquet file; encrypted columns stay encrypted."""
    with context.database.reading() as session:
        find_own(session, context, service)
    return _in_pieces(_whole(context.settings.home.payloads, service))


def clean(context: Context, service: str = "") -> dict[str, Any]:
    """Remove all that is kept of a service, or of every one that the account has. What was set aside may be any
    account's: for an operator it goes too, else with its day."""
    with context.database.reading() as session:
        own = [find_own(session, context, service).name] if service else own_services(session, context)
    freed = retention.clean(context.settings.home.payloads, own, context.clock.now(), context.is_operator)
    return {"service": service or None, "bytes": freed, "message": f"nothing is kept of {service or 'any service'} now"}


def _whole(folder: Path, service: str) -> "pa.Table":
    import pyarrow as pa

    tables = list(_tables(folder, service))
    if not tables:
        raise NotFound(f"nothing is kept of {service}; its document says what is, as in payloads: {{sample: 0.1}}")
    try:
        whole = pa.concat_tables(tables, promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise Conflict(f"the revisions of {service} have tensors of one name and different types: {error}") from error
    return _each_once(whole).sort_by("at")


def _in_pieces(table: "pa.Table") -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "payloads.parquet"
        write_table(table, path)
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece


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


def _said(session: Session, service: str, weights: Mapping[int, float]) -> list[dict[str, Any]]:
    """What the revisions with traffic say of payloads, each with its share in per cent; where none says anything, the
    newest one that did, for what is left of its calls."""
    said = _by_revision(session, service)
    shares = {number: weights[number] for number in sorted(weights)}
    if not any(said.get(number) for number in shares):
        shares |= {number: 0.0 for number in [number for number in sorted(said) if said[number]][-1:]}
    return [{"revision": number, "share": share, "payloads": said.get(number)} for number, share in shares.items()]


def _keeps(session: Session) -> dict[str, Keep]:
    """By service; as long and as much as the one that says most of those with traffic, those held ready, the one
    before and the newest, so that no rollback removes at once what the revision that it left keeps."""
    keeps = {}
    for service, stands in standings(session).items():
        said = _by_revision(session, service)
        told = [number for number in said if said[number]]
        counting = [said[number] for number in told if number in (*stands.kept, *stands.good[-1:])]
        counting = counting or [said[number] for number in told[-1:]]
        if counting:
            keeps[service] = Keep(max(one["keep_days"] for one in counting), max(one["keep_mb"] for one in counting))
    return keeps


def _by_revision(session: Session, service: str) -> dict[int, Any]:
    """What each revision without an error says of payloads, by number, ascending."""
    query = select(RevisionRow).where(RevisionRow.service == service, RevisionRow.error.is_(None))
    return {row.number: row.document.get("payloads") for row in session.scalars(query.order_by(RevisionRow.number))}
