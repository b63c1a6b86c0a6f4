"""ONNX models by onnxruntime: one thread per call, because a replica answers many callers at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from aimass.core.batch import Array, Batch
from aimass.core.errors import Bug, Invalid, NotFound, Unavailable
from aimass.core.signature import Signature
from aimass.runtimes.base import Runtime
from aimass.runtimes.binding import BoundRun, can_bind
from aimass.runtimes.cuda import PROVIDER, device_bytes, pinned, provider_options, why_no_cuda
from aimass.runtimes.onnx_signature import check_signature

MODEL_FILE = "model.onnx"

Run = Callable[[list[str], Batch, None], list[Array]]
"""Outputs by name and the inputs → the outputs."""

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
    RuntimeError,  # what a bound run raises instead of all of them
)


class OnnxRuntime(Runtime):
    """The folder's ``model.onnx`` in one session."""

    def __init__(self, run: Run, signature: Signature, device: str) -> None:
        super().__init__(signature, device)
        self._outputs = [spec.name for spec in signature.outputs]
        self._run = run

    @classmethod
    def _load(cls, folder: Path, signature: Signature, gpus: float) -> Self:
        session = open_session(folder / MODEL_FILE, gpus)
        check_signature(session, signature, folder)
        if gpus and can_bind(signature):
            return cls(BoundRun(session, signature, pinned), signature, "cuda")
        # The binding under the Python session: its wrapper checks again, in 1 µs a call, what the door has checked.
        return cls(getattr(session, "_sess", session).run, signature, "cuda" if gpus else "cpu")

    def _predict(self, batch: Batch) -> Batch:
        try:
            return dict(zip(self._outputs, self._run(self._outputs, batch, None)))  # noqa: B905  0.2 µs a call
        except _FAILURES as error:
            raise Bug(f"onnxruntime failed on a checked batch: {error}") from error

    def _close(self) -> None:
        self._run = _closed


def open_session(model: Path | bytes, gpus: float = 0.0) -> Any:
    """A session over a file or a model's bytes; ``NotFound`` or ``Invalid`` when that is impossible.

    ``gpus``: see ``Runtime.load``; ``Unavailable``, with the reason, where this process has no GPU.
    """
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
    providers = _providers(gpus)
    source = str(model) if isinstance(model, Path) else model
    name = model if isinstance(model, Path) else "the model"
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers)
    except _FAILURES as error:
        raise Invalid(f"{name} is not a model that onnxruntime can run: {error}") from error
    if gpus and PROVIDER not in session.get_providers():
        raise Unavailable(f"{name}: onnxruntime could not use {PROVIDER}; remove `gpus` from its node", field="gpus")
    return session


def _providers(gpus: float) -> list[Any]:
    """Where operators run, the first choice first: what CUDA has no kernel for runs on the CPU."""
    if not gpus:
        return ["CPUExecutionProvider"]
    if why_not := why_no_cuda():
        raise Unavailable(f"a model was to run on a GPU, but {why_not}; or remove `gpus` from its node", field="gpus")
    return [(PROVIDER, provider_options(device_bytes(), gpus)), "CPUExecutionProvider"]


def _closed(*_: Any) -> Any:
    raise Unavailable("this model was unloaded; ask again for the revision that serves now")
