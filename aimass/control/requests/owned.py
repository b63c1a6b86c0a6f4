"""What one may see and change: what is of one's own account; an operator all. Asked before anything is read or opened.

Of what is another account's the answer is that there is no such thing, in the same words as where there is none.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.core.errors import NotFound
from aimass.database.tables import ServiceRow


def find_own(session: Session, context: Context, service: str) -> ServiceRow:
    """``NotFound`` for a service that is not there, or is another account's."""
    row = session.get(ServiceRow, service)
    if row is None or not is_own(context, row.account):
        raise NotFound(f"no service is named {service!r}; `aimass services` lists them", field="service")
    return row


def is_own(context: Context, account: str) -> bool:
    """Whether what is this account's may be seen."""
    return context.is_operator or account == context.account


def own_services(session: Session, context: Context) -> list[str]:
    """The names of the account's services; of an operator's account too."""
    mine = select(ServiceRow.name).where(ServiceRow.account == context.account)
    return list(session.scalars(mine.order_by(ServiceRow.name)))


def seen_services(session: Session, context: Context) -> list[str]:
    """The names of the services that may be seen."""
    every = select(ServiceRow.name).order_by(ServiceRow.name)
    return list(session.scalars(every)) if context.is_operator else own_services(session, context)


class Calls:
    """Whose the calls on record are. Remembers whose services are, which never changes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._owners: dict[str, str] = {}

    def is_own(self, service: str | None, account: str | None) -> bool:
        """A call is of the account whose key asked for it, and of the service's. One that no key came with and no
        service took is nobody's: an operator's to see."""
        return any(is_own(self._context, owner) for owner in (account or "", self._owner(service or "")))

    def is_nobodys(self, service: str | None, account: str | None) -> bool:
        return not account and not self._owner(service or "")

    def _owner(self, service: str) -> str:
        """Empty where there is no such service."""
        if service and service not in self._owners:
            with self._context.database.reading() as session:
                row = session.get(ServiceRow, service)
            if row is None:
                return ""
            self._owners[service] = row.account
        return self._owners.get(service, "")
