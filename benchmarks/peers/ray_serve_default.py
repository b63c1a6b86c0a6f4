"""Ray Serve as its documentation first shows it: one deployment, a ``Request``, the default proxy and settings."""

import os
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.ray_cluster import serve_until_stopped


class Model:
    """Both services in one replica."""

    def __init__(self) -> None:
        from benchmarks.peers.by_hand import Scorer

        self._scorer = Scorer(Path(os.environ["BENCH_MODELS"]))

    async def __call__(self, request: Request) -> Response:
        body = self._scorer.answer(request.url.path, await request.body())
        return Response(body, media_type="application/json")


def deploy(serve: Any, port: int) -> None:
    """Starts Serve's proxy on the port and the deployment behind it."""
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(serve.deployment(Model).bind(), route_prefix="/")


if __name__ == "__main__":
    serve_until_stopped({}, deploy)
