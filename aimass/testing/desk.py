"""A desk for tests of control: a home with a key, models that multiply, and a context over it. No Ray."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from aimass.control.context import Context
from aimass.control.keys import ensure_first_key
from aimass.core.clock import ManualClock
from aimass.core.home import Home
from aimass.core.ids import DEFAULT_ACCOUNT
from aimass.core.settings import Settings
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.registry import aliases, versions
from aimass.registry.manifest import Manifest
from aimass.testing.control import InProcessPusher, PretendedJobs, context_in


@dataclass
class Desk:
    """All that a test of control touches."""

    context: Context
    pusher: InProcessPusher
    jobs: PretendedJobs
    clock: ManualClock
    settings: Settings

    def register(self, name: str, factor: float, model: bytes = b"") -> str:
        """A version that multiplies its input by ``factor``, or another ``model``; its reference. ``champion`` points
        at it."""
        context = self.context
        spec = TensorSpec("x", Datatype.FP32, (-1, 2))
        signature = Signature((spec,), (TensorSpec("y", Datatype.FP32, (-1, 2)),))
        with context.database.session() as session:
            files = {"model.onnx": context.store.put(model or times(factor))}
            manifest = Manifest("model", "onnx", files, signature)
            version = versions.register(session, context.store, name, manifest, DEFAULT_ACCOUNT, self.clock)
            aliases.move(session, f"{name}@champion", version.number, who="test", why="test", clock=self.clock)
        return version.ref

    def answer(self, service: str, replica: int = 0) -> tuple[int, float]:
        """Revision and factor that a replica answers with."""
        revision, batch = self.pusher.replicas[replica].predict(service, {"x": np.ones((1, 2), np.float32)})
        return revision, float(batch["y"][0, 0])


def times(factor: float) -> bytes:
    """An ONNX model y = x * factor, [-1, 2]."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "f"], ["y"])],
        "times",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor("f", TensorProto.FLOAT, [], [factor])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def service_document(ref: str, name: str = "twice", placement: str = "auto") -> str:
    """A service document of one model."""
    return f"""\
service: {name}
graph:
  inputs: {{x: {{datatype: FP32, shape: [-1, 2]}}}}
  nodes:
    m: {{model: {ref}, inputs: {{x: $in.x}}}}
  outputs: {{y: m.y}}
placement: {placement}
limits: {{deadline_ms: 200, max_queue: 7}}
slo: {{p95_ms: 50}}
"""


@contextmanager
def open_desk(folder: Path) -> Iterator[Desk]:
    """A desk whose registry holds double@1."""
    settings = Settings(home=Home(folder / "home"))
    ensure_first_key(settings)
    clock = ManualClock(time.time())
    context, pusher, jobs = context_in(settings, clock)
    desk = Desk(context, pusher, jobs, clock, settings)
    desk.register("double", 2.0)
    try:
        yield desk
    finally:
        context.database.close()
