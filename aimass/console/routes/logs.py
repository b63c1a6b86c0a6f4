"""``/logs``, ``/requests`` and ``/payloads``: what replicas wrote down of calls, and the same once more."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from aimass.console.access import Deployer, GuardedRoute, Reader
from aimass.control import logs as verbs
from aimass.control.requests import payloads
from aimass.control.requests.replay import replay
from aimass.control.requests.trace import trace

router = APIRouter(route_class=GuardedRoute, tags=["logs"])


@router.get("/logs", summary="Logged requests as JSON lines", response_class=StreamingResponse)
def logs(
    context: Reader,
    service: str | None = None,
    follow: bool = False,
    lines: Annotated[int, Query(ge=0, le=100_000)] = 100,
) -> StreamingResponse:
    """The newest `lines` of calls by keys of the account and to its services, oldest first; with `follow` also what
    comes after them, for ever."""
    return StreamingResponse(verbs.read(context, service, lines, follow), media_type="application/x-ndjson")


@router.get("/requests/{request_id}", summary="Where one request's time went")
def trace_request(context: Reader, request_id: str) -> dict[str, Any]:
    """Its line of the request log, from whichever replica; times in µs."""
    return trace(context, request_id)


@router.post("/requests/{request_id}/replay", summary="A kept request once more, node by node")
def replay_request(context: Deployer, request_id: str) -> dict[str, Any]:
    """What was asked and answered, and its revision run again outside the replicas. Encrypted columns are opened."""
    return replay(context, request_id)


@router.get("/payloads", summary="What is kept of calls")
def list_payloads(context: Reader, service: str = "") -> list[dict[str, Any]]:
    """By service and day, with what was dropped; of one `service` or of all that the account has."""
    return payloads.show(context, service)


@router.get("/payloads/{service}", summary="What is kept of a service, as Parquet", response_class=StreamingResponse)
def export_payloads(context: Deployer, service: str) -> StreamingResponse:
    """Masked and encrypted columns as they are kept."""
    return StreamingResponse(payloads.export(context, service), media_type="application/vnd.apache.parquet")


@router.delete("/payloads", summary="Remove what is kept of calls")
def clean_payloads(context: Deployer, service: str = "") -> dict[str, Any]:
    """Of one `service`, or of all that the account has."""
    return payloads.clean(context, service)
