"""A request scored as one would write it by hand: orjson, numpy, onnxruntime with one thread, no checks."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson

from benchmarks.workloads import INPUT, MODELS, OUTPUT, SLOW_FILE, WEIGHTS, Array


class Scorer:
    """The models of a folder, and the services over them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._linear = open_session(folder / MODELS["linear"])
        self._forest = open_session(folder / MODELS["forest"])
        self._weights = tuple(np.float32(weight) for weight in WEIGHTS)

    def linear(self, rows: Array) -> Array:
        """Scaler → logistic regression."""
        return np.asarray(self._linear.run([OUTPUT], {INPUT: rows})[0])

    def vote(self, rows: Array) -> Array:
        """The forest and the linear model, weighted."""
        forest = np.asarray(self._forest.run([OUTPUT], {INPUT: rows})[0])
        return forest * self._weights[0] + self.linear(rows) * self._weights[1]

    def score(self, service: str, rows: Array) -> Array:
        """By the service's name: ``linear``, ``vote`` or ``slow``."""
        scores = {"linear": self.linear, "vote": self.vote, "slow": self.slow}
        return scores[service](rows)

    def slow(self, rows: Array) -> Array:
        """The call of 20 ms, where the folder has it."""
        return np.asarray(self._slow.run([OUTPUT], {INPUT: rows})[0])

    @cached_property
    def _slow(self) -> Any:
        return open_session(self._folder / SLOW_FILE)

    def answer(self, path: str, body: bytes) -> bytes:
        """An Open Inference Protocol body into the answer's."""
        tensor = orjson.loads(body)["inputs"][0]
        rows = np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
        name = "vote" if path == "/v2/models/vote/infer" else "linear"
        values = self.vote(rows) if name == "vote" else self.linear(rows)
        output = {"name": OUTPUT, "datatype": "FP32", "shape": values.shape, "data": values.ravel()}
        return orjson.dumps({"model_name": name, "outputs": [output]}, option=orjson.OPT_SERIALIZE_NUMPY)


def open_session(path: Path) -> Any:
    """A model's session as one would open it by hand."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
