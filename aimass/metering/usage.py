"""What was used: drained usage events summed by service, revision and key."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aimass.database.tables import UsageEventRow


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


def totals(session: Session, service: str | None = None, account: str | None = None) -> list[Usage]:
    """Sums over all drained events, of one service or account where named."""
    row = UsageEventRow
    query = select(
        row.service,
        row.revision,
        row.key_id,
        row.account,
        func.count(),
        func.sum(row.rows),
        func.sum(row.bytes_in),
        func.sum(row.bytes_out),
        func.sum(row.total_us),
        func.min(row.at),
        func.max(row.at),
    )
    if service is not None:
        query = query.where(row.service == service)
    if account is not None:
        query = query.where(row.account == account)
    grouped = query.group_by(row.service, row.revision, row.key_id, row.account)
    return [Usage(*values) for values in session.execute(grouped.order_by(row.service, row.revision, row.key_id))]
