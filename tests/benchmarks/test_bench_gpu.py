"""The benchmark of a GPU: that its network and arithmetic work is seen on the CPU; without a GPU it says so."""

from pathlib import Path

import numpy as np
import pytest

from aimass.runtimes.cuda import why_no_cuda
from aimass.runtimes.half import check_half, to_half
from aimass.runtimes.onnx import open_session
from benchmarks import bench_gpu
from benchmarks.bench_gpu import Figure, main, measure, network


def test_each_figure_is_of_its_variant_and_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_gpu, "SECONDS", 0.0)
    whole = network(16, 3)
    found = list(measure(tmp_path, {"whole": (whole, 0.0), "half": (to_half(whole), 0.0)}, (1, 4)))
    assert [(figure.name, figure.rows) for figure in found] == [("whole", 1), ("whole", 4), ("half", 1), ("half", 4)]
    assert all(figure.call_ms > 0 for figure in found)
    assert Figure("x", 8, 4.0).rows_per_s == 2000


def test_the_network_keeps_its_values_where_fp16_can_hold_them() -> None:
    whole = network(64, 8)
    x = np.random.default_rng(0).standard_normal((32, 64)).astype(np.float32)
    y = open_session(whole).run(None, {"x": x})[0]
    assert 0.1 < y.std() < 10
    check_half(whole, to_half(whole), [{"x": x}])


@pytest.mark.skipif(not why_no_cuda(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert f"needs a GPU that onnxruntime can use; {why_no_cuda()}" in capsys.readouterr().err
