"""Whose feedback one may see: what came back for a service is its account's."""

from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.requests import owned
from aimass.control.revisions.standing import Standing, standings


def find_own(session: Session, context: Context, service: str) -> Standing:
    """Where the service stands; ``NotFound`` for one that is not there, or is another account's."""
    owned.find_own(session, context, service)
    return standings(session, service)[service]
