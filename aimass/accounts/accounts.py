"""Accounts: whose keys, services and calls something is. The default one is the platform's own."""

from sqlalchemy.orm import Session

from aimass.core.clock import Clock
from aimass.core.ids import DEFAULT_ACCOUNT, AccountId, check_name
from aimass.database.tables import AccountRow


def ensure(session: Session, name: str, clock: Clock) -> tuple[AccountId, bool]:
    """The account of this name, and whether it was made just now; ``Invalid`` for what is no name."""
    account = AccountId(check_name(name, "account", "account"))
    is_new = session.get(AccountRow, account) is None
    if is_new:
        session.add(AccountRow(id=account, name=account, created_at=clock.now()))
        session.flush()
    return account, is_new


def ensure_default(session: Session, clock: Clock) -> AccountId:
    """The platform's own account, made at the first start."""
    return ensure(session, DEFAULT_ACCOUNT, clock)[0]
