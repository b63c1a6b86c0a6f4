"""The reference: uvicorn, Starlette, orjson and onnxruntime, with nothing else that a platform would do."""

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.peers.by_hand import Scorer

_scorer = Scorer(Path(os.environ["BENCH_MODELS"]))


async def infer(request: Request) -> Response:
    """One call."""
    return Response(_scorer.answer(request.scope["path"], await request.body()), media_type="application/json")


app = Starlette(
    routes=[Route(f"/v2/models/{service}/infer", infer, methods=["POST"]) for service in ("linear", "vote")]
)
