"""Services as verbs: what is deployed, what it was made of, what was used of it."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.pushing import Overview
from aimass.control.reconciling.repair import mended
from aimass.control.requests.owned import seen_services
from aimass.control.revisions.aside import crashes_of
from aimass.control.revisions.measured import Measured, measure
from aimass.control.revisions.standing import Standing, standings
from aimass.control.rollouts.showing import brief
from aimass.database.tables import CrashRow, RevisionRow, ServiceRow, TrafficMoveRow
from aimass.metering.usage import totals
from aimass.serving.nodes.wire import app_name


def list_services(context: Context, usage: bool = False) -> list[dict[str, Any]]:
    """Every service of the account, an operator's of all, that is deployed or held ready; with ``usage`` also what was
    called of it, by revision and key, and every service that was called before it was undeployed."""
    overview = context.pusher.overview()
    measured = measure(overview.counts) if overview else {}
    with context.database.reading() as session:
        used = totals(session) if usage else []
        called, seen = {total.service for total in used}, set(seen_services(session, context))
        found = [
            _summary(session, name, standing, overview, measured.get(name))
            for name, standing in standings(session).items()
            if name in seen and (standing.is_deployed or standing.readied or name in called)
        ]
        if usage:
            for item in found:
                item["usage"] = [asdict(total) for total in used if total.service == item["name"]]
    return found


def show(context: Context, name: str) -> dict[str, Any]:
    """One service, deployed or not: every revision and every move of its traffic, oldest first."""
    overview = context.pusher.overview()
    with context.database.reading() as session:
        standing = standings(session, name)[name]
        rows = session.scalars(select(RevisionRow).where(RevisionRow.service == name).order_by(RevisionRow.number))
        moves = session.scalars(
            select(TrafficMoveRow).where(TrafficMoveRow.service == name).order_by(TrafficMoveRow.id)
        )
        return {
            **_summary(session, name, standing, overview, measure(overview.counts).get(name) if overview else None),
            "revisions": [_revision(row, standing) for row in rows],
            "moves": [{"weights": m.weights, "who": m.who, "why": m.why, "at": m.at} for m in moves],
            "usage": [asdict(total) for total in totals(session, name)],
        }


def _summary(
    session: Session, name: str, standing: Standing, overview: Overview | None, measured: Measured | None
) -> dict[str, Any]:
    there = standing.weights or standing.readied
    nodes = overview.nodes.get(app_name(name, standing.main or 0)) if overview else None
    service = session.get_one(ServiceRow, name)
    row = session.get(RevisionRow, (name, standing.main)) if standing.main else None
    return {
        "name": name,
        "revision": standing.main,
        "plan": row.layout["plan"] if row else None,
        "weights": {str(number): share for number, share in standing.weights.items()},
        "held_ready": sorted(standing.readied),
        "previous": standing.before,
        "deployed": standing.is_deployed,
        "deployed_at": standing.moved_at,
        "created_at": service.created_at,
        "account": service.account,
        "limits": row.document["limits"] if row else None,
        "slo": row.document["slo"] if row else None,
        "measured": asdict(measured) if measured else None,
        "ready": overview.ready(name, there) if overview else None,
        "resident": overview.resident(name, there) if overview else None,
        "failed": overview.failures(name, standing.weights) if overview else [],
        "held": overview.held(name, standing.weights) if overview else [],
        "faults": _faults(name, standing, overview),
        "rollout": brief(session, name),
        "mended": mended(session, name),
        "crashes": [_crash(crash) for number in standing.weights for crash in crashes_of(session, name, number)],
        "nodes": nodes.replicas if nodes else {},  # fan-out nodes of the revision with the most traffic → replicas
    }


def _faults(service: str, standing: Standing, overview: Overview | None) -> list[dict[str, Any]]:
    """What is wrong with revisions that take traffic or are held ready, each with which and why."""
    if overview is None:
        return []
    told = (("cannot be loaded", overview.failures), ("is in quarantine", overview.held))
    return [
        {"revision": number, "held_ready": number in standing.readied, "what": what, "reason": reason}
        for number in sorted(standing.weights.keys() | standing.readied)
        for what, of in told
        for reason in of(service, [number])
    ]


def _crash(row: CrashRow) -> dict[str, Any]:
    return {"revision": row.revision, "node": row.node, "cause": row.cause, "share": row.share, "at": row.at}


def _revision(row: RevisionRow, standing: Standing) -> dict[str, Any]:
    return {
        "number": row.number,
        "digest": row.digest,
        "plan": row.layout["plan"],
        "weight": standing.weights.get(row.number, 0.0),
        "kept": row.number in standing.kept,
        "error": row.error,
        "created_at": row.created_at,
        "document": row.document,
    }
