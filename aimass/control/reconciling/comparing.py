"""Desired beside actual: what the database says, and what replicas and Serve say, in one answer."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.leases.lease import LEADER, look
from aimass.control.leases.turns import holders
from aimass.control.operating.sizing import bounds
from aimass.control.pushing import Overview
from aimass.control.requests.owned import seen_services
from aimass.control.revisions.aside import asides, say
from aimass.control.revisions.standing import Standing, standings
from aimass.database import state_number
from aimass.database.tables import RevisionRow
from aimass.serving.layout import Layout
from aimass.serving.nodes.wire import app_name


def compare(context: Context) -> dict[str, Any]:
    """One look. ``overview`` is None while the reconciler is away; then only what is desired is known."""
    overview = context.pusher.overview()
    now = context.clock.now()
    with context.database.reading() as session:
        number = state_number.current(session)
        wanted = bounds(session, context.settings)
        lease, seen = look(session, LEADER), set(seen_services(session, context))
        revisions = [
            row
            for service, standing in standings(session).items()
            if service in seen and (standing.is_deployed or standing.readied)
            for row in _revisions(session, service, standing, overview)
        ]
        changing = [
            {"service": service, "by": by, "for_s": now - since}
            for service, by, since in holders(session)
            if context.is_operator or service in seen
        ]
    doings = overview.doings if overview and context.is_operator else ()  # they name any account's services
    reports = overview.reports if overview else ()
    return {
        "at": now,
        "state": {
            "desired": number,
            "replicas": [
                {"replica": report.replica, "state": report.number, "version": report.version} for report in reports
            ],
        },
        "gateway": {
            "min": wanted.least,
            "max": wanted.most,
            "target": overview.gateway[0] if overview and overview.gateway else None,
            "running": len(reports),
        },
        "reconciler": {
            "answers": overview is not None,
            "leader": lease.holder if lease else None,
            "led_for_s": now - lease.since if lease else None,
            "lease_left_s": lease.until - now if lease else None,
        },
        "revisions": revisions,
        "changing": changing,
        "doings": [{"at": at, "what": what} for at, what in doings],
    }


def _revisions(session: Session, service: str, standing: Standing, overview: Overview | None) -> list[dict[str, Any]]:
    aside = asides(session)
    rows = session.scalars(
        select(RevisionRow)
        .where(RevisionRow.service == service, RevisionRow.number.in_(standing.kept))
        .order_by(RevisionRow.number)
    )
    return [
        {
            "service": service,
            "revision": row.number,
            "is": _role(row.number, standing),
            "weight": standing.weights.get(row.number, 0.0),
            "loaded": overview.ready(service, [row.number]) if overview else None,
            "replicas": len(overview.reports) if overview else None,
            "asleep": _asleep(overview, service, row.number),
            "nodes": _nodes(row, overview),
            "wrong": [
                *([say(aside[service, row.number])] if (service, row.number) in aside else []),
                *(overview.failures(service, [row.number]) if overview else []),
                *(overview.held(service, [row.number]) if overview else []),
            ],
        }
        for row in rows
    ]


def _role(number: int, standing: Standing) -> str:
    if number in standing.weights:
        return "live"
    if number in standing.readied:
        return "held ready"
    if number in standing.shadows:
        return "shadow"
    return "the one before" if number == standing.before else "being deployed"


def _asleep(overview: Overview | None, service: str, number: int) -> int | None:
    if overview is None:
        return None
    return overview.ready(service, [number]) - overview.resident(service, [number])


def _nodes(row: RevisionRow, overview: Overview | None) -> list[dict[str, Any]]:
    """Fan-out nodes, with the bounds of their size and the replicas that run."""
    layout = Layout.from_json(row.layout)
    there = overview.nodes.get(app_name(row.service, row.number)) if overview else None
    return [
        {
            "node": name,
            "min": fanout.scale.min,
            "max": fanout.scale.max,
            "running": there.replicas.get(name, 0) if there else (0 if overview else None),
        }
        for name, fanout in layout.apps.items()
    ]
