"""ONNX models by onnxruntime: one thread per call, because a replica answers many callers at once."""

from pathlib import Path
from typing import Any, Self

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from aimass.core.batch import Batch
from aimass.core.errors import Bug, Invalid, NotFound, Unavailable
from aimass.core.signature import Signature
from aimass.runtimes.base import Runtime
from aimass.runtimes.cuda import PROVIDER, has_cuda
from aimass.runtimes.onnx_signature import check_signature

MODEL_FILE = "model.onnx"

_FAILURES = (
    failures.Fail,
    failures.EPFail,
    failures.EngineError,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NoModel,
    failures.NoSuchFile,
    failures.NotImplemented,
    failures.RuntimeException,
)


class OnnxRuntime(Runtime):
    """The folder's ``model.onnx`` in one session."""

    def __init__(self, session: Any, signature: Signature, device: str) -> None:
        super().__init__(signature, device)
        self._outputs = [spec.name for spec in signature.outputs]
        # The binding under the Python session: its wrapper checks again, in 1 µs a call, what the door has checked.
        self._run = getattr(session, "_sess", session).run

    @classmethod
    def _load(cls, folder: Path, signature: Signature, device: str) -> Self:
        session = open_session(folder / MODEL_FILE, _choose_device(device))
        check_signature(session, signature, folder)
        return cls(session, signature, "cuda" if PROVIDER in session.get_providers() else "cpu")

    def _predict(self, batch: Batch) -> Batch:
        try:
            return dict(zip(self._outputs, self._run(self._outputs, batch, None)))  # noqa: B905  0.2 µs a call
        except _FAILURES as error:
            raise Bug(f"onnxruntime failed on a checked batch: {error}") from error

    def _close(self) -> None:
        self._run = _closed


def open_session(model: Path | bytes, device: str = "cpu") -> Any:
    """A session over a file or a model's bytes; ``NotFound`` or ``Invalid`` when that is impossible."""
    if isinstance(model, Path) and not model.is_file():
        raise NotFound(f"{model} does not exist; an onnx version needs this file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    # Else bytes that pass for ONNX and carry ORT's own mark are read as its own format, which nobody has checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    providers = [PROVIDER, "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
    source = str(model) if isinstance(model, Path) else model
    name = model if isinstance(model, Path) else "the model"
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers)
    except _FAILURES as error:
        raise Invalid(f"{name} is not a model that onnxruntime can run: {error}") from error
    if providers[0] not in session.get_providers():
        raise Unavailable(f"{name}: onnxruntime could not use {providers[0]}; load it with device cpu")
    return session


def _choose_device(device: str) -> str:
    if device == "cpu" or (device == "auto" and not has_cuda()):
        return "cpu"
    if not has_cuda():
        raise Unavailable(
            "no CUDA device with its libraries answers here; load with device auto or cpu", field="device"
        )
    return "cuda"


def _closed(*_: Any) -> Any:
    raise Unavailable("this model was unloaded; ask again for the revision that serves now")
