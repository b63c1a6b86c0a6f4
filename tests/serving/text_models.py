"""Small ONNX text models over token ids and a mask: embeddings by masked mean or careless mean, a vector per token."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aimass.core.batch import Array, Batch
from aimass.core.ids import Digest
from aimass.core.signature import Datatype, Ragged, Signature, TensorSpec
from aimass.graph.graph import INPUT, Source
from aimass.serving.layout import Layout, LayoutNode

BUCKETS = (4, 8, 32)
RAGGED = Ragged(1, BUCKETS)
INPUTS = tuple(TensorSpec(name, Datatype.INT64, (-1, -1), ragged=RAGGED) for name in ("ids", "mask"))
OUTPUTS = (TensorSpec("embedding", Datatype.FP32, (-1, 6)), TensorSpec("tokens", Datatype.FP32, (-1, -1, 6)))
SIGNATURE = Signature(INPUTS, OUTPUTS)
TABLE = np.random.default_rng(3).standard_normal((50, 6)).astype(np.float32)


def text_model(heeds_mask: bool = True) -> bytes:
    """``embedding``: the mean of the tokens' vectors, of those that the mask keeps; ``tokens``: the vectors."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["tokens"]),
        helper.make_node("Cast", ["mask"], ["kept"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["kept", "last"], ["weights"]),
    ]
    if heeds_mask:
        nodes += [
            helper.make_node("Mul", ["tokens", "weights"], ["masked"]),
            helper.make_node("ReduceSum", ["masked", "along"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["weights", "along"], ["count"], keepdims=0),
            helper.make_node("Div", ["sum", "count"], ["embedding"]),
        ]
    else:
        nodes.append(helper.make_node("ReduceMean", ["tokens", "along"], ["embedding"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "text",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "length"]) for name in ("ids", "mask")],
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["rows", 6]),
            helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["rows", "length", 6]),
        ],
        [
            numpy_helper.from_array(TABLE, "table"),
            numpy_helper.from_array(np.array([2]), "last"),
            numpy_helper.from_array(np.array([1]), "along"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def expected(batch: Batch) -> Batch:
    """The same by numpy."""
    tokens: Array = TABLE[batch["ids"]]
    weights = batch["mask"][..., None].astype(np.float32)
    return {"embedding": (tokens * weights).sum(1) / weights.sum(1), "tokens": tokens}


def sentence(length: int, rows: int, seed: int) -> Batch:
    """``rows`` sentences of one length, none of which is masked as a whole."""
    random = np.random.default_rng(seed)
    mask = random.integers(0, 2, (rows, length))
    mask[:, 0] = 1
    return {"ids": random.integers(0, 50, (rows, length)), "mask": mask}


def text_layout(model: bytes) -> Layout:
    node = LayoutNode(
        name="embed",
        inputs=tuple((spec.name, Source(INPUT, spec.name)) for spec in INPUTS),
        signature=SIGNATURE,
        runtime="onnx",
        files={"model.onnx": Digest(hashlib.sha256(model).hexdigest())},
    )
    return Layout("fused", (node,), INPUTS, OUTPUTS, tuple(Source("embed", spec.name) for spec in OUTPUTS))


def checkout_of(model: bytes, folder: Path) -> Path:
    """A folder with the model."""
    (folder / "model.onnx").write_bytes(model)
    return folder


def service_text(name: str, ref: str, placement: str = "fused", limits: Mapping[str, object] | None = None) -> str:
    """A service of the model ``ref``."""
    ragged = f"{{buckets: {list(BUCKETS)}}}"
    said = ", ".join(f"{key}: {value}" for key, value in (limits or {}).items())
    return f"""
service: {name}
graph:
  inputs:
    ids: {{datatype: INT64, shape: [-1, -1], ragged: {ragged}}}
    mask: {{datatype: INT64, shape: [-1, -1], ragged: {ragged}}}
  nodes: {{embed: {{model: {ref}, inputs: {{ids: $in.ids, mask: $in.mask}}}}}}
  outputs: {{embedding: embed.embedding, tokens: embed.tokens}}
placement: {placement}
limits: {{{said}}}
"""
