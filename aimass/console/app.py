"""The control API as an ASGI application over a context; described by OpenAPI at /docs."""

from fastapi import FastAPI

import aimass
from aimass.console.envelope import Envelope, handle_errors
from aimass.console.routes import graphs, keys, logs, models, pages, platform, runs, services
from aimass.control.context import Context

API = "/api/v1"
DESCRIPTION = """Everything that the command line does.

Every call but those of the start page needs a key: `Authorization: Bearer aim_…`, with the scope that the call names
(`admin` has every scope). An error is `{"error", "kind", "field", "request_id"}`."""


def console_asgi(context: Context) -> Envelope:
    """Testable without Ray: give it a context whose pusher and jobs are in this process."""
    app = FastAPI(
        title="AI Mass control API",
        version=aimass.__version__,
        description=DESCRIPTION,
        openapi_url=f"{API}/openapi.json",
        redoc_url=None,
        strict_content_type=False,  # a body without a content-type is JSON; no browser sends our keys by itself
    )
    app.state.context = context
    app.include_router(pages.router)
    for part in (platform, services, graphs, models, runs, keys, logs):
        app.include_router(part.router, prefix=API)
    handle_errors(app)
    return Envelope(app, context.settings.max_body_bytes)
