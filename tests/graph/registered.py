"""A registry of a few digits models as the graph sees them, and the service document that uses them."""

from aimass.core.documents import Document
from aimass.core.errors import NotFound
from aimass.core.ids import Digest
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.graph.build import build_graph
from aimass.graph.graph import Graph, ModelInfo
from aimass.graph.spec import load_service

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

REGISTERED = {
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
    return build_graph(load_service(document), lookup, document)
