"""Random services over a few networks of different weight: for questions that one graph cannot answer."""

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

FEATURES = 32
LAYERS = {"light": (32, 1), "middle": (256, 2), "heavy": (768, 3)}  # width and number of hidden layers
MOST = 6  # models in a graph


def write_models(folder: Path) -> dict[str, Path]:
    """One ONNX file per kind: x FP32 [-1, 32] to probabilities of the same shape."""
    found = {}
    for name, (width, layers) in LAYERS.items():
        found[name] = folder / f"{name}.onnx"
        _write(found[name], width, layers)
    return found


def random_service(seed: int) -> str:
    """A service.yaml without its placement, named ``planned``: models in a random order of reading each other, their
    loose ends combined, or a cascade over two of them."""
    rng = random.Random(seed)
    nodes: list[str] = []
    ends: list[str] = []
    readable = ["$in.x"]
    for index in range(rng.randint(2, MOST)):
        kind, read = rng.choice(list(LAYERS)), rng.choice(readable)
        name = f"m{index}"
        nodes.append(f"    {name}: {{model: planned-{kind}@1, inputs: {{x: {read}}}}}")
        ends = [end for end in ends if end != read] + [f"{name}.probabilities"]
        readable.append(f"{name}.probabilities")
    if len(ends) == 1 and len(nodes) > 1:
        ends.append(rng.choice([name for name in readable[1:] if name not in ends]))
    how = "cascade" if len(ends) == 2 and rng.random() < 0.3 else "combine"
    members = ", ".join(ends)
    body = f"cascade: [{members}], threshold: 0.9" if how == "cascade" else f"combine: mean, inputs: [{members}]"
    nodes.append(f"    all: {{{body}}}")
    lines = [
        "service: planned",
        "graph:",
        f"  inputs: {{x: {{datatype: FP32, shape: [-1, {FEATURES}]}}}}",
        "  nodes:",
        *nodes,
        "  outputs: {probabilities: all.probabilities, label: all.label}",
    ]
    return "\n".join(lines) + "\n"


def _write(path: Path, width: int, layers: int) -> None:
    generator = np.random.default_rng(width)
    sizes = [FEATURES, *[width] * layers, FEATURES]
    nodes, weights, last = [], [], "x"
    for index, (before, after) in enumerate(pairwise(sizes)):
        values = generator.standard_normal((before, after)).astype(np.float32) / np.sqrt(before)
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{index}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{index}"], [f"h{index}"]))
        nodes.append(helper.make_node("Tanh", [f"h{index}"], [f"t{index}"]))
        last = f"t{index}"
    nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))
    nodes.append(helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", FEATURES])]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", FEATURES]),
    ]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
