"""KServe's Python server. Its batcher is not in it but in the agent, a sidecar of a Kubernetes cluster that speaks
KServe's v1 HTTP protocol only (https://kserve.github.io/website/docs/model-serving/predictive-inference/batcher), so
that on one machine, and over gRPC anywhere, requests go one by one."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

from grpc.aio import _server as grpc_server
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.utils.utils import generate_uuid

from benchmarks.peers.by_hand import Scorer
from benchmarks.workloads import OUTPUT

LOOPBACK = "127.0.0.1"


class Service(Model):
    """One service, by its name."""

    def __init__(self, name: str, scorer: Scorer) -> None:
        super().__init__(name)
        self._scorer = scorer
        self.ready = True

    async def predict(
        self, payload: InferRequest, headers: dict[str, str] | None = None, response_headers: object = None
    ) -> InferResponse:
        rows = payload.inputs[0].as_numpy()
        if self.name == "slow":  # short calls pay more for a thread than they get
            values = await asyncio.to_thread(self._scorer.score, self.name, rows)
        else:
            values = self._scorer.score(self.name, rows)
        output = InferOutput(OUTPUT, list(values.shape), "FP32")
        output.set_data_from_numpy(values, binary_data=payload.from_grpc)  # raw, as it was asked
        return InferResponse(payload.id or generate_uuid(), self.name, [output])


class LoopbackRest(model_server.RESTServer):
    """Listens on every interface of the machine otherwise, and writes three lines for each request, as no other here
    does; its settings turn neither off."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.config.host = LOOPBACK
        logging.getLogger("uvicorn.access").handlers.clear()
        logging.getLogger("kserve.trace").setLevel(logging.WARNING)


class LoopbackGrpc(grpc_server.Server):
    """Listens on every interface otherwise too."""

    def add_insecure_port(self, address: str) -> int:
        return int(super().add_insecure_port(f"{LOOPBACK}:{address.rpartition(':')[2]}"))


if __name__ == "__main__":
    model_server.RESTServer, grpc_server.Server = LoopbackRest, LoopbackGrpc
    shared = Scorer(Path(os.environ["BENCH_MODELS"]))
    ModelServer(
        http_port=int(os.environ["BENCH_PORT"]),
        grpc_port=int(os.environ["BENCH_GRPC_PORT"]),
        workers=1,
        enable_latency_logging=False,
        access_log_format=None,
    ).start([Service(name, shared) for name in ("linear", "vote", "slow")])
