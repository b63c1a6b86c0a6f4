"""How many rows a second does a batch job get through a handle, beside the same job that calls onnxruntime itself?

``python -m benchmarks.bench_handles --rows 1000000``; both in Ray Data on the platform's own Ray, in turn. The handle's
rows are keyed, admitted, metered and logged; those of onnxruntime are not.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from aimass.client.control import Control
from aimass.core.home import Home
from aimass.serving.handle import Answer, handle, join
from benchmarks.machine import describe
from benchmarks.peers.aimass_platform import started
from benchmarks.peers.by_hand import Scorer
from benchmarks.peers.lineup import TOLERANCE
from benchmarks.peers.server import PeerError
from benchmarks.session import keep, measured
from benchmarks.workloads import FEATURES, INPUT, MODELS, OUTPUT, train

BATCH_ROWS = 8192  # of Ray Data
CALL_ROWS = 4096  # of one call
CPUS = 0.5  # of each task: two run at a time beside the platform on two cores
DRAIN_S = 30.0
SERVICE = {
    "service": "linear",
    "graph": {
        "inputs": {INPUT: {"datatype": "FP32", "shape": [-1, FEATURES]}},
        "nodes": {"linear": {"model": "linear@1", "inputs": {INPUT: f"$in.{INPUT}"}}},
        "outputs": {OUTPUT: f"linear.{OUTPUT}"},
    },
    "placement": "merged",
    "limits": {"deadline_ms": 60_000, "max_batch": CALL_ROWS},
}
Batch = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """Rows a second, a round after the other."""

    machine: dict[str, Any]
    rows: int
    handle: tuple[float, ...]
    onnxruntime: tuple[float, ...]


class Session:
    """What one would write by hand: a session per worker, one thread."""

    def __init__(self, path: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, batch: Batch) -> Batch:
        found: Batch = {OUTPUT: self._session.run([OUTPUT], {INPUT: batch[INPUT]})[0]}
        return found


def run(folder: Path, rows: int, rounds: int) -> Outcome:
    """Starts a platform with its defaults and measures both on it."""
    models = folder / "models"
    models.mkdir()
    train(models)
    home = Home(folder / "home")
    with started(folder, home.path) as control:
        control.add_model("linear", models / MODELS["linear"])
        control.deploy(yaml.safe_dump(SERVICE))
        join(home)
        import ray

        try:
            found = _rounds(models, home, rows, rounds)
        finally:
            ray.shutdown()
        _check_metered(control, rows * rounds)
    return Outcome(describe(), rows, *found)


def _rounds(models: Path, home: Home, rows: int, rounds: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    from ray.data import ActorPoolStrategy

    images = np.load(models / "rows.npy").astype(np.float32)
    linear = handle("linear", home.key_file.read_text().strip())
    expected = Scorer(models).linear(images)

    def by_handle(batch: Batch) -> Answer:
        return linear.predict({INPUT: batch[INPUT]}, patience_s=60)

    def pick(batch: Batch) -> Batch:
        return {INPUT: images[batch["data"] % len(images)]}

    session = {"fn_constructor_args": (str(models / MODELS["linear"]),), "compute": ActorPoolStrategy(size=2)}
    ours, direct = [], []
    for number in range(rounds):
        jobs: list[tuple[str, list[float], Any, dict[str, Any]]] = [
            ("handle", ours, by_handle, {}),
            ("onnxruntime", direct, Session, session),
        ]
        for name, figures, function, options in jobs if number % 2 else reversed(jobs):
            figures.append(_measure(rows, pick, function, options, expected))
            print(f"{name:12} {figures[-1]:12,.0f} rows/s", flush=True)
    return tuple(ours), tuple(direct)


def _measure(rows: int, pick: Callable[[Batch], Batch], function: Any, options: dict[str, Any], expected: Any) -> float:
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = np.array_split(np.arange(rows), -(-rows // BATCH_ROWS))  # no tasks that read: each would want a whole core
    picked = ray.data.from_numpy(blocks).map_batches(pick, batch_size=BATCH_ROWS, num_cpus=CPUS)
    scored = picked.map_batches(function, batch_size=BATCH_ROWS, num_cpus=CPUS, **options)
    began, count, total = time.perf_counter(), 0, np.zeros(expected.shape[1])
    for batch in scored.iter_batches(batch_size=None):
        count += len(batch[OUTPUT])
        total += batch[OUTPUT].sum(axis=0, dtype=np.float64)
    taken = time.perf_counter() - began
    whole, rest = divmod(rows, len(expected))
    wanted = whole * expected.sum(axis=0, dtype=np.float64) + expected[:rest].sum(axis=0, dtype=np.float64)
    if count != rows or not np.allclose(total, wanted, rtol=0, atol=TOLERANCE * rows):
        raise PeerError(f"{count} of {rows} rows came back, or not with what the model gives by hand")
    return rows / taken


def _check_metered(control: Control, rows: int) -> None:
    until = time.monotonic() + DRAIN_S
    while True:
        metered = sum(day["rows"] for item in control.services(usage=True) for day in item["usage"])
        if metered == rows:
            return
        if time.monotonic() > until:
            raise PeerError(f"{rows} rows were answered, {metered} metered")
        time.sleep(0.2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints both and their ratio, and writes everything as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    asked = parser.parse_args(arguments)
    outcome = measured(lambda folder: run(folder, asked.rows, asked.rounds))
    if outcome is None:
        return 1
    ratios = sorted(ours / direct for ours, direct in zip(outcome.handle, outcome.onnxruntime, strict=True))
    print(f"handle / onnxruntime: {ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    keep(outcome, asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
