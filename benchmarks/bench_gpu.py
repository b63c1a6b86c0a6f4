"""The same network on the CPU, on a GPU, and on the GPU in FP16: ``python -m benchmarks.bench_gpu``.

Rows a second and the median time of a call, by rows per call, from numpy arrays to numpy arrays. Needs an NVIDIA GPU
that onnxruntime can use, and says so elsewhere.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from aimass.core.batch import Batch
from aimass.runtimes.cuda import why_no_cuda
from aimass.runtimes.half import to_half
from aimass.runtimes.onnx import MODEL_FILE, OnnxRuntime, open_session
from aimass.runtimes.onnx_signature import read_signature
from benchmarks import machine

WIDTH, LAYERS = 1024, 8  # 8 million weights, 17 million multiplications and additions a row
ROWS = (1, 16, 256, 2048)
SECONDS = 2.0  # for each figure


@dataclass(frozen=True)
class Figure:
    """One runtime with one number of rows per call."""

    name: str
    rows: int
    call_ms: float

    @property
    def rows_per_s(self) -> float:
        return 1000 * self.rows / self.call_ms


def network(width: int = WIDTH, layers: int = LAYERS) -> bytes:
    """Square matrices with ReLU between them, scaled so that values keep their size."""
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for layer in range(layers):
        matrix = generator.standard_normal((width, width)).astype(np.float32) * np.float32((2 / width) ** 0.5)
        weights.append(numpy_helper.from_array(matrix, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [f"m{layer}"]))
        last = "y" if layer == layers - 1 else f"a{layer}"
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [last]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())


def measure(folder: Path, variants: dict[str, tuple[bytes, float]], rows: Sequence[int]) -> Iterator[Figure]:
    """``variants``: name → the model and the part of a GPU that it runs on."""
    for name, (model, gpus) in variants.items():
        (folder / MODEL_FILE).write_bytes(model)
        runtime = OnnxRuntime.load(folder, read_signature(open_session(model)), gpus)
        width = runtime.signature.inputs[0].shape[1]
        for count in rows:
            batch = {"x": np.random.default_rng(count).standard_normal((count, width)).astype(np.float32)}
            yield Figure(name, count, _call_ms(runtime, batch))
        runtime.close()


def _call_ms(runtime: OnnxRuntime, batch: Batch) -> float:
    """The median; the first three calls do not count."""
    for _ in range(3):
        runtime.predict(batch)
    taken: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(taken) < 5 or time.perf_counter() < until:
        began = time.perf_counter()
        runtime.predict(batch)
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table for LOG.md; 1 where there is no GPU to measure."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    if why_not := why_no_cuda():
        print(f"benchmark: needs a GPU that onnxruntime can use; {why_not}", file=sys.stderr)
        return 1
    whole = network()
    variants = {"CPU, one thread": (whole, 0.0), "CUDA": (whole, 1.0), "CUDA, FP16": (to_half(whole), 1.0)}
    about = machine.describe()
    print(f"{about}\n\n| | rows per call | ms per call | rows/s |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for figure in measure(Path(folder), variants, ROWS):
            print(f"| {figure.name} | {figure.rows} | {figure.call_ms:.3f} | {figure.rows_per_s:,.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
