"""The ONNX runtime, held to the kit and to arithmetic in numpy."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from aimass.core import plugins
from aimass.core.batch import Batch
from aimass.core.errors import Bug, Invalid, NotFound, Unavailable
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.runtimes import RUNTIMES
from aimass.runtimes.cuda import why_no_cuda
from aimass.runtimes.onnx import MODEL_FILE, OnnxRuntime, open_session
from aimass.runtimes.onnx_signature import read_signature
from aimass.testing.runtimes import RuntimeConformance

WEIGHTS = np.random.default_rng(7).standard_normal((4, 3)).astype(np.float32)


def write_linear(path: Path, rows: int | None = None) -> Signature:
    """``scores`` = x · WEIGHTS + bias, ``best`` = its largest column."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weights"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        ],
        "linear",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 4]),
            helper.make_tensor_value_info("bias", TensorProto.FLOAT, [rows, 3]),
        ],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [rows, 3]),
            helper.make_tensor_value_info("best", TensorProto.INT64, [rows]),
        ],
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return Signature(
        inputs=(TensorSpec("x", Datatype.FP32, (-1, 4)), TensorSpec("bias", Datatype.FP32, (-1, 3))),
        outputs=(TensorSpec("scores", Datatype.FP32, (-1, 3)), TensorSpec("best", Datatype.INT64, (-1,))),
    )


class TestOnnx(RuntimeConformance):
    kind = OnnxRuntime

    def write(self, folder: Path) -> Signature:
        return write_linear(folder / MODEL_FILE)

    def expected(self, batch: Batch) -> Batch:
        scores = batch["x"] @ WEIGHTS + batch["bias"]
        return {"scores": scores, "best": scores.argmax(axis=1)}


def test_every_runtime_is_held_to_the_kit() -> None:
    held = {kit.kind for kit in RuntimeConformance.__subclasses__()}
    assert {plugins.load(RUNTIMES, key) for key in RUNTIMES} <= held


def test_the_graph_states_its_signature(tmp_path: Path) -> None:
    signature = write_linear(tmp_path / MODEL_FILE)
    assert read_signature(open_session(tmp_path / MODEL_FILE)) == signature


def test_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    signature = write_linear(tmp_path / MODEL_FILE, rows=1)
    session = open_session(tmp_path / MODEL_FILE)
    with pytest.raises(Invalid, match="dynamic batch") as caught:
        read_signature(session)
    assert caught.value.field == "x"
    with pytest.raises(Invalid, match="dynamic batch"):
        OnnxRuntime.load(tmp_path, signature)


def test_an_input_that_the_signature_leaves_out_is_named(tmp_path: Path) -> None:
    signature = write_linear(tmp_path / MODEL_FILE)
    with pytest.raises(Invalid, match="also needs bias"):
        OnnxRuntime.load(tmp_path, Signature(signature.inputs[:1], signature.outputs))


def test_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=MODEL_FILE):
        open_session(tmp_path / MODEL_FILE)
    (tmp_path / MODEL_FILE).write_bytes(b"\x08\x08 not protobuf")
    with pytest.raises(Invalid, match=MODEL_FILE):
        open_session(tmp_path / MODEL_FILE)


def test_cuda_is_refused_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = write_linear(tmp_path / MODEL_FILE)
    monkeypatch.setattr("aimass.runtimes.onnx.why_no_cuda", lambda: "no NVIDIA driver offers a GPU")
    with pytest.raises(Unavailable, match="was to run on a GPU, but no NVIDIA driver offers a GPU") as caught:
        OnnxRuntime.load(tmp_path, signature, 0.5)
    assert caught.value.field == "gpus"


def test_looking_for_cuda_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert isinstance(why_no_cuda(), str)
    assert capfd.readouterr() == ("", "")


def test_a_batch_that_nobody_checked_is_our_mistake(tmp_path: Path) -> None:
    runtime = OnnxRuntime.load(tmp_path, write_linear(tmp_path / MODEL_FILE))
    with pytest.raises(Bug, match="onnxruntime"):
        runtime.predict({"x": np.zeros((1, 5), np.float32), "bias": np.zeros((1, 3), np.float32)})


def test_bytes_in_the_format_of_onnxruntime_itself_are_refused(tmp_path: Path) -> None:
    write_linear(tmp_path / MODEL_FILE)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(tmp_path / MODEL_FILE), options, providers=["CPUExecutionProvider"])
    with pytest.raises(Invalid, match="not a model that onnxruntime can run"):
        open_session((tmp_path / "model.ort").read_bytes())
