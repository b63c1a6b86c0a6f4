"""What one may see and remove: what is of one's own account. Asked before anything is read or opened."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.core.errors import Denied, NotFound
from aimass.database.tables import ServiceRow


def find_own(session: Session, context: Context, service: str) -> ServiceRow:
    """``NotFound`` for a service that is not there, ``Denied`` for another account's."""
    row = session.get(ServiceRow, service)
    if row is None:
        raise NotFound(f"no service is named {service!r}; `aimass services` lists them", field="service")
    if row.account != context.account:
        raise Denied(
            f"service {service} belongs to another account; ask for it with a key of that one", field="service"
        )
    return row


def own_services(session: Session, context: Context) -> list[str]:
    """The names of the account's services."""
    mine = select(ServiceRow.name).where(ServiceRow.account == context.account)
    return list(session.scalars(mine.order_by(ServiceRow.name)))


def check_own_call(session: Session, context: Context, service: str, account: str) -> None:
    """A call is of the account whose key asked for it, and of the service's: ``Denied`` for all others. One that no key
    came with and no service took is nobody's."""
    row = session.get(ServiceRow, service) if service else None
    owners = {owner for owner in (account, row.account if row else "") if owner}
    if owners and context.account not in owners:
        raise Denied("the request belongs to another account; ask for it with a key of that one")
