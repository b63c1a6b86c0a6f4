"""What a process asks of CUDA, without a GPU; with one, the models that run on it. ``gpu`` tests need a real device."""

from pathlib import Path

import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.core.errors import Unavailable
from aimass.core.signature import Signature
from aimass.runtimes.binding import BoundRun
from aimass.runtimes.cuda import (
    CONTEXT_BYTES,
    arena_bytes,
    count_devices,
    device_bytes,
    pinned,
    provider_options,
    why_no_cuda,
)
from aimass.runtimes.onnx import MODEL_FILE, OnnxRuntime, open_session
from aimass.testing.runtimes import RuntimeConformance
from tests.runtimes.test_onnx_runtime import WEIGHTS, write_linear

GIB = 2**30
needs_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(why_no_cuda()), reason=f"no GPU that onnxruntime can use: {why_no_cuda()}"),
]


@pytest.mark.parametrize(
    ("total", "share", "arena"),
    [
        (80 * GIB, 0.5, 40 * GIB - CONTEXT_BYTES),
        (80 * GIB, 1.0, 80 * GIB - CONTEXT_BYTES),
        (8 * GIB, 0.1, int(0.4 * GIB)),  # of such a share the context would leave less than half
    ],
)
def test_the_arena_is_what_a_share_holds_beside_the_context(total: int, share: float, arena: int) -> None:
    assert arena_bytes(total, share) == pytest.approx(arena, abs=1)


def test_only_a_part_of_a_gpu_has_a_limit() -> None:
    whole, part = provider_options(8 * GIB, 1.0), provider_options(8 * GIB, 0.5)
    assert "gpu_mem_limit" not in whole
    assert part == {**whole, "gpu_mem_limit": str(arena_bytes(8 * GIB, 0.5))}
    assert (whole["device_id"], whole["use_tf32"]) == ("0", "0")


@pytest.mark.skipif(count_devices() > 0, reason="this machine has a GPU")
def test_without_a_gpu_its_memory_is_not_guessed() -> None:
    with pytest.raises(Unavailable, match="nvidia-smi"):
        device_bytes()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aimass.runtimes.cuda.count_devices", lambda: 1)
    monkeypatch.setattr("aimass.runtimes.cuda.LIBRARIES", ("libc.so.6", "libnobody.so.1"))
    assert why_no_cuda.__wrapped__() == ("not found: libnobody.so.1; in the project's folder: pip install -e '.[cuda]'")
    monkeypatch.setattr("aimass.runtimes.cuda.count_devices", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert why_no_cuda.__wrapped__() == "no NVIDIA driver offers a GPU (CUDA_VISIBLE_DEVICES='')"


class TestOnnxOnAGpu(RuntimeConformance):
    pytestmark = needs_gpu
    kind = OnnxRuntime
    gpus = 0.25

    def write(self, folder: Path) -> Signature:
        return write_linear(folder / MODEL_FILE)

    def expected(self, batch: Batch) -> Batch:
        scores = batch["x"] @ WEIGHTS + batch["bias"]
        return {"scores": scores, "best": scores.argmax(axis=1)}


class TestAGpu:
    pytestmark = needs_gpu

    def test_pinned_memory_is_memory(self) -> None:
        memory = pinned(8192)
        memory[:] = np.arange(8192) % 251
        np.testing.assert_array_equal(memory, np.arange(8192) % 251)

    def test_bound_and_plain_calls_agree(self, tmp_path: Path) -> None:
        signature = write_linear(tmp_path / MODEL_FILE)
        session = open_session(tmp_path / MODEL_FILE, 0.5)
        assert session.get_providers()[0] == "CUDAExecutionProvider"
        bound = BoundRun(session, signature, pinned)
        for count in (1, 5, 300, 2):
            generator = np.random.default_rng(count)
            batch = {
                "x": generator.standard_normal((count, 4)).astype(np.float32),
                "bias": generator.standard_normal((count, 3)).astype(np.float32),
            }
            for mine, plain in zip(bound(["scores", "best"], batch), session.run(None, batch), strict=True):
                np.testing.assert_allclose(mine, plain, atol=1e-6)

    def test_the_memory_of_the_device_is_told(self) -> None:
        assert device_bytes() > GIB
