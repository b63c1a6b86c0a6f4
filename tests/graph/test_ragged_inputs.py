"""Inputs of different lengths in a service document: read, pinned, and refused where they cannot be."""

import pytest

from aimass.core.documents import Document
from aimass.core.errors import DocumentError
from aimass.core.ids import Digest
from aimass.core.signature import Datatype, Ragged, Signature, TensorSpec
from aimass.graph.build import build_graph
from aimass.graph.builder import GraphBuilder
from aimass.graph.graph import Graph, ModelInfo
from aimass.graph.revision import canonical, graph_of
from aimass.graph.spec import ServiceSpec, load_service

TEXT = """\
service: text
graph:
  inputs:
    ids: {datatype: INT64, shape: [-1, -1], ragged: {buckets: [4, 8, 16], pad: 1}}
    mask: {datatype: INT64, shape: [-1, -1], ragged: {buckets: [4, 8, 16]}}
  nodes:
    embed: {model: embed@1, inputs: {ids: $in.ids, mask: $in.mask}}
  outputs: {embedding: embed.embedding}
"""
SIGNATURE = Signature(
    (TensorSpec("ids", Datatype.INT64, (-1, -1)), TensorSpec("mask", Datatype.INT64, (-1, -1))),
    (TensorSpec("embedding", Datatype.FP32, (-1, 8)),),
)


def lookup(ref: str, field: str) -> ModelInfo:
    return ModelInfo(ref, "model", "onnx", {"model.onnx": Digest("0" * 64)}, SIGNATURE)


def read(text: str) -> tuple[ServiceSpec, Graph]:
    document = Document(text, "service.yaml")
    spec = load_service(document)
    return spec, build_graph(spec, lookup, document)


def test_ragged_inputs_are_pinned_in_the_revision() -> None:
    spec, graph = read(TEXT)
    assert graph.inputs[0].ragged == Ragged(1, (4, 8, 16), 1.0)
    document = canonical(graph, spec)
    assert document["format"] == 2
    assert graph_of(document).inputs == graph.inputs
    plain_spec, plain = read(
        TEXT.replace(", ragged: {buckets: [4, 8, 16], pad: 1}", "").replace(", ragged: {buckets: [4, 8, 16]}", "")
    )
    assert canonical(plain, plain_spec)["format"] == 1, "what needs nothing new keeps its digest"


def test_the_builder_comes_to_the_same_revision() -> None:
    builder = GraphBuilder("text")
    ids = builder.input("ids", "INT64", [-1, -1], ragged={"buckets": [4, 8, 16], "pad": 1})
    mask = builder.input("mask", "INT64", [-1, -1], ragged={"buckets": [4, 8, 16]})
    embed = builder.model("embed", "embed@1", {"ids": ids, "mask": mask})
    builder.output("embedding", embed["embedding"])
    spec, graph = read(TEXT)
    built = builder.spec()
    assert canonical(build_graph(built, lookup), built) == canonical(graph, spec)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("shape: [-1, -1], ragged: {buckets: [4, 8, 16], pad", "shape: [-1, 7], ragged: {pad", "axis 1 .* is not free"),
        ("{buckets: [4, 8, 16], pad: 1}", "{axis: 2}", "axis 2 of shape .* is not free"),
        ("{buckets: [4, 8, 16], pad: 1}", "{axis: 0}", "ids.ragged.axis"),
        ("[4, 8, 16], pad: 1", "[4, 4], pad: 1", "each larger than the one before"),
        ("[4, 8, 16], pad: 1", "[], pad: 1", "lengths from 1 upwards"),
        ("[4, 8, 16], pad: 1", "[0, 4], pad: 1", "lengths from 1 upwards"),
        ("pad: 1", "pad: 0.5", "pad 0.5 is no INT64"),
        ("ids: {datatype: INT64", "ids: {datatype: BYTES", "BYTES cannot be padded"),
    ],
)
def test_what_cannot_be_ragged_is_refused_at_its_line(old: str, new: str, says: str) -> None:
    assert old in TEXT
    with pytest.raises(DocumentError, match=says) as caught:
        read(TEXT.replace(old, new, 1))
    assert caught.value.line == 4
