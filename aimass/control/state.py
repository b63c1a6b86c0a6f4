"""The gateway's numbered state, built from the database: where stored changes become what replicas know."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.revisions.standing import Standing, standings
from aimass.database import state_number
from aimass.database.tables import KeyRow, RevisionRow, ServiceRow
from aimass.gateway.state import GatewayState, KeyState, Limits, RevisionState, ServiceState


def build_state(session: Session, replicas_hint: int = 1) -> GatewayState:
    """As one transaction sees it; the same rows give the same state."""
    return GatewayState(
        number=state_number.current(session),
        keys=_keys(session),
        services=_services(session),
        replicas_hint=replicas_hint,
    )


def _keys(session: Session) -> tuple[KeyState, ...]:
    rows = session.scalars(select(KeyRow).where(KeyRow.revoked_at.is_(None)).order_by(KeyRow.id))
    return tuple(
        KeyState(row.id, row.account, row.digest, tuple(row.scopes), row.rate_per_s, row.expires_at) for row in rows
    )


def _services(session: Session) -> tuple[ServiceState, ...]:
    found = standings(session)
    accounts = {row.name: row.account for row in session.scalars(select(ServiceRow))}
    services = []
    for name, standing in found.items():
        if standing.kept:
            services.append(_service(session, name, accounts[name], standing))
    return tuple(services)


def _service(session: Session, name: str, account: str, standing: Standing) -> ServiceState:
    rows = [session.get_one(RevisionRow, (name, number)) for number in standing.kept]
    main = session.get_one(RevisionRow, (name, standing.main or standing.kept[-1]))
    return ServiceState(
        name=name,
        account=account,
        limits=Limits(**main.document["limits"]),
        weights=standing.weights,
        revisions=tuple(RevisionState(row.number, row.digest, row.layout) for row in rows),
    )
