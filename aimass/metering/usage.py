"""What was used: usage events, single or rolled up, summed by service, revision and key."""

from dataclasses import dataclass

from sqlalchemy import BigInteger, cast, func, literal, select, union_all
from sqlalchemy.orm import Session

from aimass.database.tables import UsageEventRow, UsageHourRow


@dataclass(frozen=True)
class Usage:
    """All calls of one key to one revision."""

    service: str
    revision: int
    key_id: str
    account: str
    calls: int
    rows: int
    bytes_in: int
    bytes_out: int
    total_us: int
    first_at: float
    last_at: float


def totals(session: Session, service: str | None = None) -> list[Usage]:
    """Sums over all drained events, single and rolled up, of one service where named."""
    event, hour = UsageEventRow, UsageHourRow
    shared = ("service", "revision", "key_id", "account", "rows", "bytes_in", "bytes_out", "total_us")
    single = select(
        *(getattr(event, name) for name in shared),
        literal(1).label("calls"),
        event.at.label("first_at"),
        event.at.label("last_at"),
    )
    summed = select(*(getattr(hour, name) for name in shared), hour.calls, hour.first_at, hour.last_at)
    if service is not None:
        single, summed = single.where(event.service == service), summed.where(hour.service == service)
    row = union_all(single, summed).subquery().c
    by = (row.service, row.revision, row.key_id, row.account)
    summable = (row.calls, row.rows, row.bytes_in, row.bytes_out, row.total_us)
    sums = (cast(func.sum(column), BigInteger) for column in summable)  # PostgreSQL's own sum would be a decimal
    query = select(*by, *sums, func.min(row.first_at), func.max(row.last_at)).group_by(*by)
    return [Usage(*values) for values in session.execute(query.order_by(row.service, row.revision, row.key_id))]
