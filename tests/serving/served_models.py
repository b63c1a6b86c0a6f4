"""Real digits models as ONNX, a shelf that holds artifacts in memory, and the service that votes over them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from aimass.core.batch import Array
from aimass.core.documents import Document
from aimass.core.errors import NotFound
from aimass.core.ids import Digest
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.graph.build import build_graph
from aimass.graph.graph import Graph, ModelInfo
from aimass.graph.spec import load_service
from aimass.runtimes.conversion import to_onnx
from aimass.serving.combining import make_combiner
from aimass.serving.layout import Layout
from aimass.serving.placement import place
from aimass.serving.planner.demand import Demand

ROW = TensorSpec("x", Datatype.FP32, (-1, 64))
CLASSIFIER = Signature(
    (ROW,), (TensorSpec("label", Datatype.INT64, (-1,)), TensorSpec("probabilities", Datatype.FP32, (-1, 10)))
)
SCALER = Signature((ROW,), (TensorSpec("y", Datatype.FP32, (-1, 64)),))


class Shelf:
    """Artifacts by digest."""

    def __init__(self) -> None:
        self.data: dict[Digest, bytes] = {}

    def put(self, data: bytes) -> Digest:
        digest = Digest(hashlib.sha256(data).hexdigest())
        self.data[digest] = data
        return digest

    def read(self, digest: Digest) -> bytes:
        if digest not in self.data:
            raise NotFound(f"no artifact {digest}")
        return self.data[digest]

    def checkout(self, files: Mapping[str, Digest], into: Path) -> Path:
        folder = into / "-".join(sorted(digest[:12] for digest in files.values()))
        folder.mkdir(exist_ok=True)
        for name, digest in files.items():
            (folder / name).write_bytes(self.read(digest))
        return folder


@dataclass(frozen=True)
class FlatProfile:
    """A profile with a fixed cost per call and per row."""

    call_us: float
    row_us: float
    memory_bytes: int

    def time_us(self, rows: int) -> float:
        return self.call_us + rows * self.row_us

    def lone_time_us(self, rows: int) -> float:
        return self.time_us(rows)

    def p95_time_us(self, rows: int) -> float:
        return 2 * self.time_us(rows)


@cache
def digits() -> tuple[Array, Array]:
    pictures = load_digits()
    return pictures.data.astype(np.float32), pictures.target


@cache
def fitted() -> Mapping[str, Any]:
    """The estimators, fitted on the first 900 digits."""
    x, y = digits()
    x, y = x[:900], y[:900]
    scaler = StandardScaler().fit(x)
    return {
        "scale": scaler,
        "linear": LogisticRegression(max_iter=300).fit(scaler.transform(x), y),
        "forest": RandomForestClassifier(20, random_state=0).fit(x, y),
        "boosting": HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(x, y),
    }


@cache
def shelf() -> Shelf:
    """The models' files and, later, what is merged from them."""
    return Shelf()


@cache
def registered() -> Mapping[str, ModelInfo]:
    """The estimators as converted ONNX versions."""
    found = {}
    for name, estimator in fitted().items():
        kind = "transform" if name == "scale" else "model"
        data = to_onnx(estimator, "x", 64, ("y",) if kind == "transform" else ("label", "probabilities"))
        signature = SCALER if kind == "transform" else CLASSIFIER
        profile = FlatProfile(6.0, 0.1, 2_000_000)
        files = {"model.onnx": shelf().put(data)}
        found[f"{name}@1"] = ModelInfo(f"{name}@1", kind, "onnx", files, signature, None, profile)
    return found


VOTE = """\
service: digits
graph:
  inputs: {image: {datatype: FP32, shape: [-1, 64]}}
  nodes:
    scale: {transform: scale@1, inputs: {x: $in.image}}
    linear: {model: linear@1, inputs: {x: scale.y}}
    forest: {model: forest@1, inputs: {x: $in.image}}
    boosting: {model: boosting@1, inputs: {x: $in.image}}
    vote:
      combine: weighted
      weights: [0.5, 0.3, 0.2]
      inputs: [forest.probabilities, linear.probabilities, boosting.probabilities]
  outputs: {label: vote.label, probabilities: vote.probabilities}
"""
ONE = """\
service: one
graph:
  inputs: {image: {datatype: FP32, shape: [-1, 64]}}
  nodes:
    scale: {transform: scale@1, inputs: {x: $in.image}}
    linear: {model: linear@1, inputs: {x: scale.y}}
  outputs: {label: linear.label, probabilities: linear.probabilities}
"""


def graph_from(text: str, known: Mapping[str, ModelInfo] | None = None) -> Graph:
    """The graph over ``known``, or over the digits models."""
    models = registered() if known is None else known
    document = Document(text, "service.yaml")
    return build_graph(load_service(document), lambda ref, _: models[ref], document, make_combiner)


def layout_from(graph: Graph, plan: str, on: Shelf | None = None) -> Layout:
    """The graph under this plan, as a deploy compiles it."""
    on = on or shelf()
    layout = place(graph, Demand(plan), on.read, on.put).layout
    assert layout is not None
    return layout
