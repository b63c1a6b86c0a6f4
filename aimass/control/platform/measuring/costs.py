"""``aimass doctor --measure``: calls one tiny model for some seconds, in the gateway and on a node of its own."""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aimass.client.control import Control
from aimass.control.platform.measuring.calls import WARM, Door
from aimass.control.platform.measuring.settling import settle
from aimass.control.platform.processes import Process, cpu_seconds, members
from aimass.core.errors import NotFound
from aimass.core.platform_file import PlatformFile
from aimass.serving.planner.machine import Costs

MODEL = "aimass-probe"
NODE = "probe"
SECONDS = 2.0  # of calls for each figure
CONNECTIONS = 16
ROWS = 64  # features of the one row
CHAIN = 3  # nodes of their own, one after another


@dataclass(frozen=True)
class Seen:
    """Calls to one service: µs by one caller; CPU µs of a call in the gateway and in the node, by one caller and by
    several."""

    p50_us: float
    p95_us: float
    gateway_us: float
    node_us: float
    crowded_us: float


def measure(control: Control, platform: PlatformFile) -> dict[str, float]:
    """The costs that the planner can use instead of its defaults, by their names there. The model stays registered,
    its two services do not stay deployed."""
    ref = _register(control)
    model_us, lone_us = _model_us(control)
    with _deployed(control, ref, "fused") as here:
        local = _see(control, platform, here)
    with _deployed(control, ref, "fanout") as there:
        away = _see(control, platform, there)
    with _deployed(control, ref, "fanout", CHAIN) as there:
        chain = _see(control, platform, there)
    found = derive(local, away, chain, (model_us, lone_us), Costs())
    return {name: round(max(0.0, value), 1) for name, value in found.items()}


def derive(local: Seen, away: Seen, chain: Seen, model: tuple[float, float], known: Costs) -> dict[str, float]:
    """What the door costs is what is left of a call without its model; what a hop costs, what is left of one to a node
    without the door, the model, and the tasks that such a call is; in a chain of ``CHAIN``, what each hop takes more.
    The model's µs: after another call, and alone."""
    model_us, lone_us = model
    flow_us = known.flow_us + known.flow_step_us
    chain_flow_us = known.flow_us + CHAIN * known.flow_step_us
    door_us = local.p50_us - lone_us
    hop_us = away.p50_us - local.p50_us - flow_us
    in_chain_us = (chain.p50_us - door_us - chain_flow_us) / CHAIN - lone_us
    return {
        "door_p50_us": local.p50_us - lone_us - known.step_us,
        "door_p95_us": local.p95_us - lone_us - known.step_us,
        "door_core_us": local.crowded_us - model_us - known.step_us,
        "hop_p50_us": hop_us,
        "hop_p95_us": away.p95_us - local.p50_us - flow_us,
        "hop_more_us": (in_chain_us - hop_us) / (CHAIN - 1),
        "hop_core_us": away.gateway_us - (local.gateway_us - lone_us) - flow_us,
        "hop_node_core_us": away.node_us - lone_us,
    }


def _see(control: Control, platform: PlatformFile, service: str) -> Seen:
    connection = control.connection
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, ROWS], "data": [0.5] * ROWS}
    body = json.dumps({"inputs": [tensor]}).encode()
    door = Door(platform.url, connection.key or "", platform.tls_cert, service, body, CONNECTIONS)
    ray_dir = Path(platform.ray_dir)
    settle(ray_dir)
    try:
        door.one_by_one(0.2)
        gateway, node = _replicas(ray_dir, "gateway:"), _replicas(ray_dir, f"{service}-")
        before = cpu_seconds(gateway), cpu_seconds(node)
        taken = door.one_by_one(SECONDS)
        after = cpu_seconds(gateway), cpu_seconds(node)
        count = door.all_at_once(SECONDS)
        crowded = cpu_seconds(gateway) - after[0]
    finally:
        door.close()
    ordered = sorted(taken)
    calls = len(taken) + WARM
    return Seen(
        p50_us=statistics.median(ordered) * 1e6,
        p95_us=ordered[int(0.95 * len(ordered))] * 1e6,
        gateway_us=(after[0] - before[0]) / calls * 1e6,
        node_us=(after[1] - before[1]) / calls * 1e6,
        crowded_us=crowded / max(1, count) * 1e6,
    )


def _register(control: Control) -> str:
    """The version to call; made once."""
    try:
        return str(control.model(MODEL)["versions"][0]["ref"])
    except NotFound:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "probe.onnx"
            path.write_bytes(_tiny_model())
            control.add_model(MODEL, path)
        return f"{MODEL}@1"


def _model_us(control: Control) -> tuple[float, float]:
    """A call after another, and a lone one."""
    profile = control.model(MODEL)["versions"][0]["profile"] or {"times_us": {"1": 0.0}}
    hot = float(profile["times_us"]["1"])
    return hot, max(hot, float(profile.get("lone_us", 0.0)))


@contextmanager
def _deployed(control: Control, ref: str, plan: str, count: int = 1) -> Iterator[str]:
    """A chain of so many nodes."""
    service = f"{MODEL}-{plan}" if count == 1 else f"{MODEL}-{plan}-{count}"
    sources = ["$in.x", *(f"{NODE}{number}.y" for number in range(1, count))]
    nodes = [f"{NODE}{number}: {{model: {ref}, inputs: {{x: {source}}}}}" for number, source in enumerate(sources, 1)]
    text = f"""\
service: {service}
graph:
  inputs: {{x: {{datatype: FP32, shape: [-1, {ROWS}]}}}}
  nodes: {{{", ".join(nodes)}}}
  outputs: {{y: {NODE}{count}.y}}
placement: {plan}
"""
    control.deploy(text, f"{service}.yaml")
    try:
        yield service
    finally:
        control.undeploy(service)


def _tiny_model() -> bytes:
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", ROWS]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "probe", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def _replicas(ray_dir: Path, name: str) -> list[Process]:
    return [process for process in members(ray_dir) if process.command.startswith(f"ray::ServeReplica:{name}")]


def stamp() -> str:
    """Now, as a person reads it."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
