"""Small services by the hundred, no two alike: some models, and pairs of them as ensembles."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, count
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import orjson
import yaml
from onnx import TensorProto, helper

from benchmarks.peers.by_hand import open_session
from benchmarks.workloads import Array

FEATURES, CLASSES = 64, 10
SMALLEST, STEP = 200, 40  # neurons of the first model, and how many more each further one has


@dataclass(frozen=True)
class Service:
    """One service: its document, and what it answers to the one row that it is asked."""

    name: str
    members: tuple[str, ...]
    expected: Array

    @property
    def document(self) -> str:
        """One model, or the mean of two, as one ONNX graph."""
        nodes: dict[str, Any] = {name: {"model": f"{name}@1", "inputs": {"x": "$in.x"}} for name in self.members}
        last = self.members[0]
        if len(self.members) > 1:
            last = "mean"
            nodes[last] = {"combine": "mean", "inputs": [f"{name}.probabilities" for name in self.members]}
        graph = {
            "inputs": {"x": {"datatype": "FP32", "shape": [-1, FEATURES]}},
            "nodes": nodes,
            "outputs": {"probabilities": f"{last}.probabilities"},
        }
        limits = {"deadline_ms": 30_000}
        return yaml.safe_dump({"service": self.name, "graph": graph, "placement": "merged", "limits": limits})


def row() -> Array:
    """The row that every service is asked."""
    return cast(Array, np.random.default_rng(7).random((1, FEATURES), np.float32))


def body() -> bytes:
    """It as a request."""
    data = [float(value) for value in row()[0]]
    return orjson.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, FEATURES], "data": data}]})


def models_for(services: int) -> int:
    """The fewest models of which so many services can be made."""
    return next(models for models in count(2) if models + models * (models - 1) // 2 >= services)


def write_models(folder: Path, models: int) -> dict[str, Path]:
    """Networks of one hidden layer with weights by chance, each larger than the one before: 60 to 300 kB."""
    found = {}
    for number in range(models):
        name = f"m{number:02}"
        found[name] = folder / f"{name}.onnx"
        onnx.save(_network(SMALLEST + STEP * number, np.random.default_rng(number)), found[name])
    return found


def make_services(models: dict[str, Path], services: int) -> list[Service]:
    """Each model alone, then the pairs; expected: onnxruntime's answers and numpy's mean of them."""
    answers = {name: open_session(path).run(None, {"x": row()})[0] for name, path in models.items()}
    return [
        Service("many-" + "-".join(members), members, np.mean([answers[name] for name in members], axis=0))
        for _, members in zip(range(services), _members(list(models)), strict=False)
    ]


def _members(names: list[str]) -> Iterator[tuple[str, ...]]:
    yield from ((name,) for name in names)
    yield from combinations(names, 2)


def _network(hidden: int, generator: np.random.Generator) -> onnx.ModelProto:
    weights = {"w1": (FEATURES, hidden), "b1": (hidden,), "w2": (hidden, CLASSES), "b2": (CLASSES,)}
    values = {name: generator.normal(0, 0.3, shape).astype(np.float32) for name, shape in weights.items()}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["sums"]),
            helper.make_node("Relu", ["sums"], ["hidden"]),
            helper.make_node("Gemm", ["hidden", "w2", "b2"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, FEATURES])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, CLASSES])],
        [
            helper.make_tensor(name, TensorProto.FLOAT, value.shape, value.tobytes(), raw=True)
            for name, value in values.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
