"""The number of the gateway's state: raised inside every transaction that changes what replicas must know."""

from sqlalchemy.orm import Session

from aimass.database.tables import StateNumberRow

_ONLY_ROW = 1


def current(session: Session) -> int:
    """The number as this transaction sees it; 0 before the first change."""
    row = session.get(StateNumberRow, _ONLY_ROW)
    return row.number if row else 0


def bump(session: Session) -> int:
    """Raise the number by one and return it; it becomes visible when the transaction commits."""
    row = session.get(StateNumberRow, _ONLY_ROW)
    if row is None:
        row = StateNumberRow(id=_ONLY_ROW, number=0)
        session.add(row)
    row.number += 1
    session.flush()
    return row.number
