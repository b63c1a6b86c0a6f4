"""Nodes that ask for a part of a GPU: refused on a platform without, and run there by CUDA on one that has it."""

from pathlib import Path

import numpy as np
import pytest

from aimass.client import Client
from aimass.control.platform.machine import gpu_count
from aimass.core.errors import Invalid
from aimass.runtimes.cuda import why_no_cuda
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import scaling_document, write_scaling

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def document(service: str, ref: str) -> str:
    node = f"{{model: {ref}, inputs: {{x: $in.x}}"
    return scaling_document(service, ref).replace(node, f"{node}, placement: fanout, gpus: 0.25")


@pytest.mark.skipif(gpu_count() > 0, reason="this machine has a GPU")
def test_without_a_gpu_the_deploy_is_refused(platform: RunningPlatform, tmp_path: Path) -> None:
    with platform.control() as control:
        added = control.add_model("on-a-gpu", write_scaling(tmp_path / "model.onnx", 2.0))
        with pytest.raises(Invalid, match=r"needs 1 GPU\(s\) for all its replicas; this machine has 0"):
            control.deploy(document("on-a-gpu", added["ref"]))


@pytest.mark.gpu
@pytest.mark.skipif(bool(why_no_cuda()), reason=f"no GPU that onnxruntime can use: {why_no_cuda()}")
def test_a_part_of_a_gpu_answers(platform: RunningPlatform, tmp_path: Path) -> None:
    with platform.control() as control, Client(platform.url, platform.key) as client:
        added = control.add_model("on-a-gpu", write_scaling(tmp_path / "model.onnx", 2.0, 512))
        control.deploy(document("on-a-gpu", added["ref"]))
        for rows in (1, 64, 3):
            x = np.random.default_rng(rows).standard_normal((rows, 2)).astype(np.float32)
            np.testing.assert_allclose(client.predict("on-a-gpu", x)["y"], 2 * x, rtol=1e-5)
        control.undeploy("on-a-gpu")
