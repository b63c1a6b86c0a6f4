"""BentoML with adaptive batching: its dispatcher learns from recent calls how long to wait and how much to take."""

import os
from pathlib import Path

import bentoml
import numpy as np

from benchmarks.peers.by_hand import Scorer

# https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html; rows in a batch
BATCHING = {"batchable": True, "max_batch_size": 256, "max_latency_ms": 10_000}


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Models:
    """All three services in one worker process."""

    def __init__(self) -> None:
        self._scorer = Scorer(Path(os.environ["BENCH_MODELS"]))

    @bentoml.api(**BATCHING)
    def linear(self, rows: np.ndarray) -> np.ndarray:
        return self._scorer.linear(rows.astype(np.float32))

    @bentoml.api(**BATCHING)
    def vote(self, rows: np.ndarray) -> np.ndarray:
        return self._scorer.vote(rows.astype(np.float32))

    @bentoml.api(**BATCHING)
    def slow(self, rows: np.ndarray) -> np.ndarray:
        return self._scorer.slow(rows.astype(np.float32))
