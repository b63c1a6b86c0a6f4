"""The gateway's numbered state, built from the database: where stored changes become what replicas know."""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from aimass.control.revisions.aside import asides, say
from aimass.control.revisions.standing import Standing, standings
from aimass.control.shadows.stored import as_states, standing_shadows
from aimass.core.ids import RevisionId
from aimass.database import state_number
from aimass.database.tables import KeyRow, RevisionRow, ServiceRow
from aimass.gateway.state import GatewayState, KeyState, Limits, RevisionState, ServiceState, TrafficState
from aimass.monitoring.feedback.learnable import told

PINNED = "pinned"  # of each revision by itself: the one that is being deployed may say otherwise than the one that runs


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
    found, shadows = standings(session), standing_shadows(session)
    accounts = {row.name: row.account for row in session.scalars(select(ServiceRow))}
    aside = {revision: say(move) for revision, move in asides(session).items()}
    kept = [(name, number) for name, standing in found.items() for number in standing.kept]
    query = select(RevisionRow).where(tuple_(RevisionRow.service, RevisionRow.number).in_(kept))
    rows = {(row.service, row.number): row for row in session.scalars(query)}
    services = []
    for name, standing in found.items():
        if standing.kept:
            state = _service(rows, name, accounts[name], standing, aside)
            looking_on = as_states(shadows.get(name, ())) if standing.is_deployed else ()
            services.append(replace(state, shadows=looking_on))
    return tuple(services)


def _service(
    found: Mapping[RevisionId, RevisionRow],
    name: str,
    account: str,
    standing: Standing,
    aside: Mapping[RevisionId, str],
) -> ServiceState:
    rows = [found[name, number] for number in standing.kept]
    main = found[name, standing.main or standing.kept[-1]]
    return ServiceState(
        name=name,
        account=account,
        limits=Limits(**{key: value for key, value in main.document["limits"].items() if key != PINNED}),
        weights=standing.weights,
        revisions=tuple(
            RevisionState(
                row.number,
                row.digest,
                row.layout,
                aside=aside.get((name, row.number), ""),
                pinned=row.document["limits"].get(PINNED, False),
                payloads=row.document.get("payloads"),
                feedback=told(row.document),
            )
            for row in rows
        ),
        traffic=TrafficState(standing.policy, standing.options, standing.pieces),
    )
