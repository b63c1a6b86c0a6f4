"""W3's two members as a Ray Serve graph of handles: as its documentation shows it, or with every setting that helps.

``BENCH_DAG``: ``default`` (default proxy, a ``Request``, handles as they come) or ``best`` (HAProxy and throughput
settings, a plain ASGI callable, calls by value over gRPC, no access log).
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.ray_cluster import serve_until_stopped
from benchmarks.peers.ray_serve_haproxy import SETTINGS
from benchmarks.peers.server import free_port
from benchmarks.workloads import INPUT, MODELS, OUTPUT, WEIGHTS

SMALL = {"num_cpus": 0.1}  # one core for each by default: three of them would never start on two
LOGGING = {"log_level": "WARNING", "enable_access_log": False}


class Member:
    """One model in a deployment of its own."""

    def __init__(self, name: str) -> None:
        from benchmarks.peers.by_hand import open_session

        self._session = open_session(Path(os.environ["BENCH_MODELS"]) / MODELS[name])

    async def __call__(self, rows: Any) -> Any:
        return self._session.run([OUTPUT], {INPUT: rows})[0]


class Vote:
    """Asks both members at once and weights their answers."""

    def __init__(self, forest: Any, linear: Any) -> None:
        self._members = (forest, linear)

    async def answer(self, body: bytes) -> bytes:
        """An Open Inference Protocol body into the answer's."""
        import numpy as np

        tensor = orjson.loads(body)["inputs"][0]
        rows = np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
        forest, linear = await asyncio.gather(*(member.remote(rows) for member in self._members))
        values = forest * np.float32(WEIGHTS[0]) + linear * np.float32(WEIGHTS[1])
        output = {"name": OUTPUT, "datatype": "FP32", "shape": values.shape, "data": values.ravel()}
        return orjson.dumps({"model_name": "vote", "outputs": [output]}, option=orjson.OPT_SERIALIZE_NUMPY)


class DefaultVote(Vote):
    """Behind the default proxy."""

    async def __call__(self, request: Request) -> Response:
        return Response(await self.answer(await request.body()), media_type="application/json")


class ByValue(Vote):
    """Calls over gRPC, which an environment variable alone does not bring to handles that were bound in a driver."""

    async def __init__(self, forest: Any, linear: Any) -> None:  # type: ignore[misc]  # Serve awaits it
        super().__init__(*(member.options(_by_reference=False) for member in (forest, linear)))


class App:
    """A plain ASGI callable around a replica's vote."""

    def __init__(self, vote: Vote) -> None:
        self._vote = vote

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer = await self._vote.answer(body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def _app(vote: ByValue) -> App:
    """A function, because Serve binds it as a method."""
    return App(vote)


def deploy_default(serve: Any, port: int) -> None:
    """Everything as it comes, but for the cores."""
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    deployment = serve.deployment(ray_actor_options=SMALL)
    members = [deployment(Member).options(name=name).bind(name) for name in ("forest", "linear")]
    serve.run(deployment(DefaultVote).bind(*members), route_prefix="/")


def deploy_best(serve: Any, port: int) -> None:
    """HAProxy in front, one replica of each behind it, calls between them by value."""
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    deployment = serve.deployment(max_ongoing_requests=512, logging_config=LOGGING, ray_actor_options=SMALL)
    ingress = serve.ingress()(type("Ingress", (ByValue,), {"__serve_build_asgi_app__": _app}))
    members = [deployment(Member).options(name=name).bind(name) for name in ("forest", "linear")]
    serve.run(deployment(ingress).bind(*members), route_prefix="/")


if __name__ == "__main__":
    if os.environ["BENCH_DAG"] == "best":
        ports = {f"RAY_SERVE_HAPROXY_{name}_PORT": str(free_port()) for name in ("METRICS", "STATS")}
        serve_until_stopped({**SETTINGS, **ports}, deploy_best)
    else:
        serve_until_stopped({}, deploy_default)
