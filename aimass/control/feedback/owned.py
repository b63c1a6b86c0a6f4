"""Whose feedback one may see: what came back for a service is its account's."""

from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.revisions.standing import Standing, standings
from aimass.core.errors import Denied
from aimass.database.tables import ServiceRow


def find_own(session: Session, context: Context, service: str) -> Standing:
    """Where the service stands; ``NotFound`` for one that is not there, ``Denied`` for another account's."""
    standing = standings(session, service)[service]
    if session.get_one(ServiceRow, service).account != context.account:
        raise Denied(f"service {service} belongs to another account", field="service")
    return standing
