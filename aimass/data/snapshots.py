"""Snapshots on record: each content of a named dataset is a version, told apart by its digest."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aimass.core.clock import Clock
from aimass.core.ids import AccountId
from aimass.data.dataset import Dataset
from aimass.database.tables import DatasetRow


def record(session: Session, dataset: Dataset, account: AccountId, clock: Clock) -> str:
    """``name@version`` of this content: a version that is known already, else the next one."""
    digest = dataset.digest
    known = session.scalar(
        select(DatasetRow.version).where(DatasetRow.name == dataset.name, DatasetRow.digest == digest)
    )
    if known is not None:
        return f"{dataset.name}@{known}"
    last = session.scalar(select(func.max(DatasetRow.version)).where(DatasetRow.name == dataset.name))
    row = DatasetRow(
        name=dataset.name,
        version=(last or 0) + 1,
        account=account,
        digest=digest,
        rows=len(dataset.rows),
        source=dict(dataset.source),
        fields=dataset.describe(),
        created_at=clock.now(),
    )
    session.add(row)
    session.flush()
    return f"{dataset.name}@{row.version}"
