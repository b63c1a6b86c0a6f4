"""Ray Serve at its fastest with metrics left on: HAProxy, throughput settings, a plain ASGI callable, no access log."""

import os
from pathlib import Path
from typing import Any

from benchmarks.peers.ray_cluster import serve_until_stopped
from benchmarks.peers.server import free_port

SETTINGS = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",  # 30 by default; only the stop would wait for it
}


class App:
    """Both services as a plain ASGI callable; an object, because Serve takes a function for a builder."""

    def __init__(self) -> None:
        self._scorer: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if self._scorer is None:
            from benchmarks.peers.by_hand import Scorer

            self._scorer = Scorer(Path(os.environ["BENCH_MODELS"]))
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer = self._scorer.answer(scope["path"], body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


class Ingress:
    """The deployment around it."""


def deploy(serve: Any, port: int) -> None:
    """Starts HAProxy on the port and one replica behind it."""
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    deployment = serve.deployment(
        max_ongoing_requests=512,
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        ray_actor_options={"num_cpus": 0.1},
    )
    serve.run(deployment(serve.ingress(App())(Ingress)).bind(), route_prefix="/")


if __name__ == "__main__":
    ports = {f"RAY_SERVE_HAPROXY_{name}_PORT": str(free_port()) for name in ("METRICS", "STATS")}
    serve_until_stopped({**SETTINGS, **ports}, deploy)
