"""What is asked: models trained here on real digits, and request bodies that differ from one another."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

INPUT = "image"
OUTPUT = "probabilities"
FEATURES = 64
WEIGHTS = (0.6, 0.4)  # of the forest, of the linear model
BODIES = 32  # different bodies per workload, sent in turn, so that nothing can be tuned to one input
SEED = 20
MODELS = {"linear": "linear.onnx", "forest": "forest.onnx"}
SLOW_FILE = "slow.onnx"

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Workload:
    """One kind of request: which service, how many rows, JSON or raw tensors."""

    name: str
    service: str  # "linear": scaler → logistic regression; "vote": that beside a forest on raw features, weighted
    rows: int
    binary: bool = False

    @property
    def path(self) -> str:
        return f"/v2/models/{self.service}/infer"


WORKLOADS = {
    "w1": Workload("W1", "linear", 1),
    "w2": Workload("W2", "linear", 64),
    "w2-binary": Workload("W2 binary", "linear", 64, binary=True),
    "w3": Workload("W3", "vote", 1),
}
SLOW = Workload("20 ms", "slow", 1)
"""A call that takes 20 ms whatever its batch (``fixed_work``); only of the benchmarks about batching."""


@dataclass(frozen=True)
class Body:
    """One request body, the rows in it, and the length of its JSON header where raw tensors follow (else 0)."""

    content: bytes
    rows: Array
    header_bytes: int = 0

    @property
    def headers(self) -> dict[str, str]:
        if not self.header_bytes:
            return {"content-type": "application/json"}
        return {
            "content-type": "application/octet-stream",
            "inference-header-content-length": str(self.header_bytes),
        }


def train(folder: Path) -> None:
    """Writes the two models as ONNX, each proven equal to scikit-learn's answers, and ``rows.npy``: unseen rows."""
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from aimass.runtimes.conversion import check_conversion, to_onnx

    features, labels = load_digits(return_X_y=True)
    seen, unseen, answers, _ = train_test_split(
        features.astype(np.float32), labels, test_size=0.3, stratify=labels, random_state=SEED
    )
    estimators = {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        "forest": RandomForestClassifier(100, random_state=SEED),
    }
    for name, file in MODELS.items():
        estimator = estimators[name].fit(seen, answers)
        model = to_onnx(estimator, INPUT, FEATURES)
        check_conversion(estimator, model, unseen)
        (folder / file).write_bytes(model)
    np.save(folder / "rows.npy", unseen)


def as_json(rows: Array) -> Body:
    """As the Open Inference Protocol has it."""
    tensor = {"name": INPUT, "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
    return Body(orjson.dumps({"inputs": [tensor]}), rows.astype(np.float32))


def make_bodies(
    workload: Workload, unseen: Array, count: int = BODIES, write: Callable[[Array], Body] = as_json
) -> list[Body]:
    """Every other body holds pixels as they are (``5.0``), the others dimmed ones of two decimals (``4.73``)."""
    random = np.random.default_rng(SEED + workload.rows)
    order = random.permutation(len(unseen))
    bodies = []
    for number in range(count):
        turn = np.arange(number * workload.rows, (number + 1) * workload.rows)
        picked = unseen[order.take(turn, mode="wrap")].astype(np.float64)
        if number % 2:
            picked = np.round(picked * random.uniform(0.5, 1.0), 2)
        bodies.append(_raw(picked) if workload.binary else write(picked))
    return bodies


def write_requests(
    folder: Path, workload: Workload, bodies: list[Body], headers: dict[str, str], path: str = ""
) -> list[bytes]:
    """The whole requests as they go over the wire, also written one per file for the load generator.

    ``path``: where the workload's own is not meant."""
    folder.mkdir(parents=True, exist_ok=True)
    requests = []
    for number, body in enumerate(bodies, start=1):
        lines = {"host": "127.0.0.1", **headers, **body.headers, "content-length": str(len(body.content))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        requests.append(f"POST {path or workload.path} HTTP/1.1\r\n{head}\r\n".encode() + body.content)
        (folder / f"{number}.http").write_bytes(requests[-1])
    return requests


def _raw(rows: Array) -> Body:
    """As tritonclient sends it: raw tensors both ways."""
    values = np.ascontiguousarray(rows, dtype="<f4")
    tensor = {"name": INPUT, "shape": list(rows.shape), "datatype": "FP32"}
    head = json.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": values.nbytes}}],
            "outputs": [{"name": OUTPUT, "parameters": {"binary_data": True}}],
        },
        separators=(",", ":"),
    ).encode()
    return Body(head + values.tobytes(), values, len(head))
