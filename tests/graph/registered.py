"""A registry of a few digits models as the graph sees them, and the service document that uses them."""

from dataclasses import replace

from aimass.core import plugins
from aimass.core.documents import Document
from aimass.core.errors import NotFound
from aimass.core.ids import Digest
from aimass.core.policies import NodeScale
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.graph.build import build_graph
from aimass.graph.graph import Graph, ModelInfo
from aimass.graph.spec import load_service
from aimass.serving.autoscaling import AUTOSCALING
from aimass.serving.combining import make_combiner

ROW = TensorSpec("x", Datatype.FP32, (-1, 64))
LABEL = TensorSpec("label", Datatype.INT64, (-1,))
CHANCES = TensorSpec("probabilities", Datatype.FP32, (-1, 10))
CLASSIFIER = Signature((ROW,), (LABEL, CHANCES))
SCALER = Signature((ROW,), (TensorSpec("y", Datatype.FP32, (-1, 64)),))


def _info(ref: str, kind: str, signature: Signature, graph: dict[str, object] | None = None) -> ModelInfo:
    files = {} if graph else {"model.onnx": Digest(ref.encode().hex().ljust(64, "0"))}
    return ModelInfo(ref, kind, "" if graph else "onnx", files, signature, graph)


ENSEMBLE = {
    "nodes": {
        "scale": {"transform": "digits-scale@1", "inputs": {"x": "$in.x"}},
        "linear": {"model": "digits-linear@2", "inputs": {"x": "scale.y"}},
        "forest": {"model": "digits-forest@1", "inputs": {"x": "$in.x"}},
        "vote": {
            "combine": "weighted",
            "weights": [0.6, 0.4],
            "inputs": ["forest.probabilities", "linear.probabilities"],
        },
    },
    "outputs": {"label": "vote.label", "probabilities": "vote.probabilities"},
}
OUTER = {
    "nodes": {
        "inner": {"model": "digits-ensemble@1", "inputs": {"x": "$in.x"}},
        "svm": {"model": "digits-svm@1", "inputs": {"x": "$in.x"}},
        "all": {"combine": "mean", "inputs": ["inner.probabilities", "svm.probabilities"]},
    },
    "outputs": {"label": "all.label", "probabilities": "all.probabilities"},
}
LOOP = {
    "nodes": {"again": {"model": "digits-loop@1", "inputs": {"x": "$in.x"}}},
    "outputs": {"label": "again.label", "probabilities": "again.probabilities"},
}
IRIS = Signature((TensorSpec("x", Datatype.FP32, (-1, 4)),), (TensorSpec("probabilities", Datatype.FP32, (-1, 3)),))

META = Signature((TensorSpec("features", Datatype.FP32, (-1, 20)),), (LABEL, CHANCES))
QUORUM = {
    "nodes": {
        "svm": {"model": "digits-svm@1", "inputs": {"x": "$in.x"}, "required": False, "deadline_ms": 50},
        "forest": {"model": "digits-forest@1", "inputs": {"x": "$in.x"}},
        "vote": {"combine": "median", "inputs": ["svm.probabilities", "forest.probabilities"], "quorum": 1},
    },
    "outputs": {"label": "vote.label", "probabilities": "vote.probabilities"},
}
MIXED = {
    "nodes": {
        "svm": {"model": "digits-svm@1", "inputs": {"x": "$in.x"}},
        "forest": {"model": "digits-forest@1", "inputs": {"x": "$in.x"}},
    },
    "outputs": {"label": "svm.label", "probabilities": "forest.probabilities"},
}
REGISTERED = {
    "digits-mixed@1": _info("digits-mixed@1", "ensemble", CLASSIFIER, MIXED),
    "digits-meta@1": _info("digits-meta@1", "model", META),
    "digits-quorum@1": _info("digits-quorum@1", "ensemble", CLASSIFIER, QUORUM),
    "digits-torch@1": replace(_info("digits-torch@1", "model", CLASSIFIER), runtime="torch"),
    "digits-scale@1": _info("digits-scale@1", "transform", SCALER),
    "digits-linear@2": _info("digits-linear@2", "model", CLASSIFIER),
    "digits-forest@1": _info("digits-forest@1", "model", CLASSIFIER),
    "digits-svm@1": _info("digits-svm@1", "model", CLASSIFIER),
    "iris-linear@1": _info("iris-linear@1", "model", IRIS),
    "digits-ensemble@1": _info("digits-ensemble@1", "ensemble", CLASSIFIER, ENSEMBLE),
    "digits-outer@1": _info("digits-outer@1", "ensemble", CLASSIFIER, OUTER),
    "digits-loop@1": _info("digits-loop@1", "ensemble", CLASSIFIER, LOOP),
    "digits-linear@champion": _info("digits-linear@2", "model", CLASSIFIER),
}


def lookup(ref: str, field: str) -> ModelInfo:
    if ref not in REGISTERED:
        raise NotFound(f"no {ref}; registered: digits-linear@1 to @2", field=field)
    return REGISTERED[ref]


VOTE = """\
service: digits
graph:
  inputs:
    image: {datatype: FP32, shape: [-1, 64]}
  nodes:
    scale:
      transform: digits-scale@1
      inputs: {x: $in.image}
    linear:
      model: digits-linear@champion
      inputs: {x: scale.y}
    forest:
      model: digits-forest@1
      inputs: {x: $in.image}
    vote:
      combine: weighted
      weights: [0.6, 0.4]
      inputs: [forest.probabilities, linear.probabilities]
  outputs:
    label: vote.label
    probabilities: vote.probabilities
"""

WHOLE = """\
service: digits
graph:
  inputs:
    image: {datatype: FP32, shape: [-1, 64]}
    kind: {datatype: INT64, shape: [-1]}
  nodes:
    scale: {transform: digits-scale@1, inputs: {x: $in.image}}
    small: {model: digits-linear@2, inputs: {x: scale.y}}
    big:
      model: digits-forest@1
      inputs: {x: $in.image}
      placement: fanout
      replicas: {min: 0, max: 4, target_ongoing: 8, policy: queue_length}
      gpus: 0.5
      required: false
      deadline_ms: 50
      retries: 1
      hedge_after_ms: 20
      fallback: prior
      breaker: {failures: 3, reset_s: 5}
    prior: {model: digits-svm@1, inputs: {x: $in.image}}
    vote:
      combine: weighted
      weights: [0.6, 0.4]
      inputs: [small.probabilities, big.probabilities]
      quorum: 1
      on_missing: renormalise
    meta:
      combine: stacking
      model: digits-meta@1
      inputs: [small.probabilities, vote.probabilities]
    large: {model: digits-forest@1, inputs: {x: $in.image}}
    gate:
      cascade: [small.probabilities, meta.probabilities, large.probabilities]
      thresholds: [0.9, 0.8]
      temperatures: [1.5, 1]
    route:
      switch: $in.kind
      cases:
        "0": {chances: small.probabilities, best: small.label}
        "-1": {chances: gate.probabilities, best: gate.label}
      else: {chances: vote.probabilities, best: vote.label}
  outputs:
    label: route.best
    probabilities: route.chances
    member: gate.member
"""


def one_model(ref: str) -> str:
    return f"""\
service: digits
graph:
  inputs: {{image: {{datatype: FP32, shape: [-1, 64]}}}}
  nodes: {{all: {{model: {ref}, inputs: {{x: $in.image}}}}}}
  outputs: {{label: all.label, probabilities: all.probabilities}}
"""


def graph_from(text: str) -> Graph:
    document = Document(text, "service.yaml")
    return build_graph(load_service(document), lookup, document, make_combiner, check_scaling)


def check_scaling(scale: NodeScale) -> None:
    plugins.load(AUTOSCALING, scale.policy)
