"""How the platform is, in one answer; and where it listens."""

from typing import Any

from sqlalchemy import select

import aimass
from aimass.control import services
from aimass.control.context import Context
from aimass.control.requests.owned import is_own, seen_services
from aimass.core.platform_file import read_platform_file
from aimass.database import state_number
from aimass.database.run_status import ACTIVE
from aimass.database.tables import RunRow


def status(context: Context) -> dict[str, Any]:
    """Replicas, services, fan-out nodes, runs under way, and the state's number."""
    overview = context.pusher.overview()
    with context.database.reading() as session:
        number = state_number.current(session)
        seen = set(seen_services(session, context))
        active = list(session.scalars(select(RunRow).where(RunRow.status.in_(ACTIVE)).order_by(RunRow.created_at)))
    replicas = [
        {
            "replica": report.replica,
            "pid": report.pid,
            "state": report.number,
            "loaded": len(report.loaded),
            "asleep": len(report.asleep),
            "resident_bytes": report.resident_bytes,
            "bound_bytes": report.bound_bytes,
            "failed": len(report.failed),
            "in_flight": report.in_flight,
            "requests_per_s": report.requests_per_s,
        }
        for report in (overview.reports if overview else ())
    ]
    return {
        **platform(context),
        "reconciler": "answers" if overview else "away",
        "state": number,
        "replicas": replicas,
        "services": [_brief(item) for item in services.list_services(context)],
        "nodes": [
            {"application": app, "node": node, "replicas": count, "failed": state.failed}
            for app, state in (overview.nodes.items() if overview else ())
            if context.is_operator or app.rpartition("-r")[0] in seen
            for node, count in state.replicas.items()
        ],
        "runs": [
            {"id": row.id, "recipe": row.recipe, "status": row.status} for row in active if is_own(context, row.account)
        ],
    }


def platform(context: Context) -> dict[str, Any]:
    """Versions and addresses."""
    settings = context.settings
    file = read_platform_file(settings.home.platform_file)
    return {
        "version": aimass.__version__,
        "url": f"{settings.scheme}://{settings.host}:{settings.port}",
        "control_url": f"{settings.scheme}://{settings.host}:{settings.control_port}",
        "grpc": f"{settings.host}:{settings.grpc_port}" if settings.ingress == "own" else None,
        "home": str(settings.home.path),
        "pid": file.pid if file else None,
        "started_at": file.started_at if file else None,
    }


def _brief(service: dict[str, Any]) -> dict[str, Any]:
    """One line: what runs, and beside what was promised what was measured."""
    slo, measured = service["slo"] or {}, service["measured"] or {}
    return {
        "name": service["name"],
        "revision": service["revision"],
        "held_ready": service["held_ready"],
        "plan": service["plan"],
        "failed": service["failed"],
        "held": service["held"],
        **{name: service[name] for name in ("faults", "rollout", "mended", "crashes")},
        "calls": measured.get("calls", 0),
        "refused": measured.get("refused", 0),
        "p95_ms": measured.get("p95_ms"),
        "slo_p95_ms": slo.get("p95_ms"),
        "error_rate": measured.get("error_rate"),
        "slo_error_rate": slo.get("error_rate"),
    }
