"""``/logs``: requests as the replicas wrote them down."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from aimass.console.access import GuardedRoute, Reader
from aimass.control import logs as verbs

router = APIRouter(route_class=GuardedRoute, tags=["logs"])


@router.get("/logs", summary="Logged requests as JSON lines", response_class=StreamingResponse)
def logs(
    context: Reader,
    service: str | None = None,
    follow: bool = False,
    lines: Annotated[int, Query(ge=0, le=100_000)] = 100,
) -> StreamingResponse:
    """The newest `lines`, oldest first; with `follow` also what comes after them, for ever."""
    return StreamingResponse(verbs.read(context, service, lines, follow), media_type="application/x-ndjson")
