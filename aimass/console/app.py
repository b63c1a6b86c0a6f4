"""The control API as an ASGI application over a context; described by OpenAPI at /docs."""

from typing import Any

from fastapi import FastAPI

import aimass
from aimass.console.bodies import ErrorBody
from aimass.console.envelope import Envelope, handle_errors
from aimass.console.routes import docs, feedback, graphs, keys, logs, models, pages, platform, rollouts, runs, services
from aimass.console.routes.traffic import shadows, splitting
from aimass.control.context import Context

API = "/api/v1"
DESCRIPTION = """Everything that the command line does.

Every call but those of the start page needs a key: `Authorization: Bearer aim_…`, with the scope that the call names
(`admin` has every scope). An error is `{"error", "kind", "field", "request_id"}`."""

REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "model": ErrorBody,
        "description": "invalid 400, unauthenticated 401, denied 403, not_found 404, timeout 408 (the body came too "
        "slowly), conflict 409, too_large 413",
    },
    "5XX": {"model": ErrorBody, "description": "bug 500, unavailable 503, timeout 504"},
}


def console_asgi(context: Context) -> Envelope:
    """Testable without Ray: give it a context whose pusher and jobs are in this process."""
    app = FastAPI(
        title="AI Mass control API",
        version=aimass.__version__,
        description=DESCRIPTION,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # FastAPI's own page loads from the network; ours is in routes/docs.py
        redoc_url=None,
        strict_content_type=False,  # a body without a content-type is JSON; no browser sends our keys by itself
    )
    app.state.context = context
    for page in (pages, docs):
        app.include_router(page.router)
    for part in (platform, services, splitting, shadows, rollouts, feedback, graphs, models, runs, keys, logs):
        app.include_router(part.router, prefix=API, responses=REFUSALS)
    handle_errors(app)
    return Envelope(app, context.settings.max_body_bytes, context.settings.max_upload_bytes)
