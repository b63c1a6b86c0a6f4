"""What tests of every folder may ask for: one running platform per session, and small models for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aimass.testing.running import RunningPlatform, running


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """A whole platform, started by ``aimass up`` and shared by the session. Leave its settings as they are."""
    with running(tmp_path_factory.mktemp("platform") / "home") as started:
        yield started


@pytest.fixture
def scaling_model(tmp_path: Path) -> Path:
    """An ONNX file: FP32 x [-1, 2] → y = 3 x."""
    return write_scaling(tmp_path / "scaling.onnx", 3.0)


def write_scaling(path: Path, factor: float) -> Path:
    """An ONNX model that multiplies its input x, FP32 [-1, 2], by ``factor``."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "scaling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)
    return path
