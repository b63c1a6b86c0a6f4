"""A kept call once more: what was asked and answered, and its revision run again outside the replicas, node by node."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.client.tensors import to_json
from aimass.control.context import Context
from aimass.control.requests.owned import Calls
from aimass.control.requests.trace import trace
from aimass.control.revisions.aside import asides, say
from aimass.core.batch import Batch
from aimass.core.errors import AimassError, Conflict, Denied, NotFound
from aimass.core.ids import Digest
from aimass.database.tables import RevisionRow
from aimass.graph.revision import graph_of
from aimass.monitoring.payloads.payload import Form, Payload
from aimass.monitoring.payloads.reading import read
from aimass.monitoring.payloads.secrets import Secrets
from aimass.registry.artifacts import checkout
from aimass.serving.engine.rerun import Rerun, rerun


def replay(context: Context, request_id: str) -> dict[str, Any]:
    """The call as it was kept, the same from a run outside the replicas, and whether a replica could be asked too.

    ``NotFound`` where nothing is known of it, or its payload was not kept, or its revision is gone, or it is another
    account's; ``Denied`` for an own call to another account's service; ``Conflict`` where its inputs are hidden or its
    revision must not run.
    """
    found = _kept(context, request_id)
    if not Calls(context).is_own(found.service, None):  # the caller's own call all the same
        raise Denied(f"service {found.service} belongs to another account, which alone may replay its requests")
    with context.database.reading() as session:
        row = _revision(session, found)
    payload = Secrets(context.settings.home.payload_key_file).open(found)
    inputs = _inputs(payload)
    again, why_not = _rerun(context, row, inputs)
    overview = context.pusher.overview()
    loaded = {revision for report in overview.reports for revision in report.loaded} if overview else set()
    return {
        "request_id": payload.request_id,
        "service": payload.service,
        "revision": payload.revision,
        "plan": payload.plan,
        "at": payload.at,
        "status": payload.status,
        "error": payload.error,
        "degraded": payload.degraded.split(",") if payload.degraded else [],
        "us": {**payload.us, "nodes": dict(payload.nodes_us)},
        "inputs": to_json(inputs),
        "logged": to_json(payload.outputs),
        "masked": list(payload.hidden(Form.MASKED)),
        "outside": to_json(again.outputs) if again else {},
        "why_not": why_not,
        "nodes": [
            {"name": run.name, "rows": run.rows, "us": round(run.seconds * 1e6), "outputs": to_json(run.outputs)}
            for run in (again.nodes if again else ())
        ],
        "is_loaded": (payload.service, payload.revision) in loaded,
    }


def _kept(context: Context, request_id: str) -> Payload:
    home = context.settings.home
    for payload in read(home, request_ids=[request_id]):
        if Calls(context).is_own(payload.service, payload.account):
            return payload
    record = trace(context, request_id)
    service = record.get("service") or "the service"
    raise NotFound(
        f"request {request_id} was answered with {record['status']}, but its inputs and outputs were not kept; the "
        f"document of {service} says how many are, as in payloads: {{sample: 0.1}}"
    )


def _revision(session: Session, payload: Payload) -> RevisionRow:
    service, number = payload.service, payload.revision
    row = session.get(RevisionRow, (service, number))
    if row is None:
        numbers = ", ".join(map(str, session.scalars(select(RevisionRow.number).where(RevisionRow.service == service))))
        raise NotFound(f"revision {number} of {service} is gone, so it cannot run again; there is: {numbers or 'none'}")
    move = asides(session).get((service, number))
    if move is not None:
        raise Conflict(f"revision {number} of {service} {say(move)}; it is not run for a replay either")
    return row


def _inputs(payload: Payload) -> Batch:
    masked = [column.name for column in payload.columns if column.is_input and column.form == Form.MASKED]
    if masked:
        names = ", ".join(map(repr, masked))
        be, them = ("inputs {} of {} are", "them") if len(masked) > 1 else ("input {} of {} is", "it")
        raise Conflict(
            f"{be.format(names, payload.service)} masked, so only a hash of what request {payload.request_id} sent was "
            f"kept, and it cannot be replayed; name {them} under payloads.private.encrypt instead of mask, and "
            "requests from the next deploy on can be"
        )
    if not payload.inputs:
        why = payload.error or "they were not read"
        raise Conflict(f"request {payload.request_id} was refused before its inputs were kept: {why}")
    return payload.inputs


def _rerun(context: Context, row: RevisionRow, inputs: Batch) -> tuple[Rerun | None, str]:
    """What came of it, or why nothing did."""

    def checked_out(files: Mapping[str, Digest]) -> Path:
        return checkout(context.store, files, context.settings.home.cache)

    try:
        return rerun(graph_of(row.document), checked_out, inputs), ""
    except NotFound as error:
        again = "deploy its document again"
        raise NotFound(f"an artifact of {row.service} revision {row.number} was removed; {again}: {error}") from error
    except AimassError as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - whatever a model raises is what the replay has to tell
        return None, f"{type(error).__name__}: {error}"
