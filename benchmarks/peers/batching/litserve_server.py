"""LitServe with batching: a batch leaves when it is full, or when its first request has waited ``batch_timeout``."""

import os
from pathlib import Path
from typing import Any

import litserve
import numpy as np

from benchmarks.peers.by_hand import Scorer
from benchmarks.workloads import OUTPUT, Array

# https://lightning.ai/docs/litserve/features/batching; requests in a batch, not rows
MAX_BATCH_SIZE = 64
BATCH_TIMEOUT_S = 0.001

Batch = tuple[Array, list[int]]  # rows of all, and how many each request brought


class Api(litserve.LitAPI):
    """One service."""

    def __init__(self, service: str) -> None:
        super().__init__(
            max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT_S, api_path=f"/v2/models/{service}/infer"
        )
        self._service = service

    def setup(self, device: str) -> None:
        self._scorer = Scorer(Path(os.environ["BENCH_MODELS"]))

    def decode_request(self, request: dict[str, Any]) -> Array:
        tensor = request["inputs"][0]
        return np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])

    def batch(self, inputs: list[Array]) -> Batch:
        return np.concatenate(inputs), [len(rows) for rows in inputs]

    def predict(self, batch: Batch) -> Batch:
        return self._scorer.score(self._service, batch[0]), batch[1]

    def unbatch(self, output: Batch) -> list[Array]:
        return np.split(output[0], np.cumsum(output[1])[:-1])

    def encode_response(self, output: Array) -> dict[str, Any]:
        tensor = {"name": OUTPUT, "datatype": "FP32", "shape": list(output.shape), "data": output.ravel().tolist()}
        return {"model_name": self._service, "outputs": [tensor]}


if __name__ == "__main__":
    # One worker for each service, as ours has one process; https://lightning.ai/docs/litserve/api-reference/litserver
    server = litserve.LitServer(
        [Api(service) for service in ("linear", "vote", "slow")], accelerator="cpu", devices=1, workers_per_device=1
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
