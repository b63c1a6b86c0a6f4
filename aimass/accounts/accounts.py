"""Accounts: for now one, which owns everything."""

from sqlalchemy.orm import Session

from aimass.core.clock import Clock
from aimass.core.ids import DEFAULT_ACCOUNT, AccountId
from aimass.database.tables import AccountRow


def ensure_default(session: Session, clock: Clock) -> AccountId:
    """The default account, made at the first start."""
    if session.get(AccountRow, DEFAULT_ACCOUNT) is None:
        session.add(AccountRow(id=DEFAULT_ACCOUNT, name=DEFAULT_ACCOUNT, created_at=clock.now()))
        session.flush()
    return DEFAULT_ACCOUNT
