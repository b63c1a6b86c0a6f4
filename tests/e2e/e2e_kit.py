"""Small steps that whole-platform tests share: a model that multiplies, a service around it, patience."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from aimass.client import Client
from aimass.testing.running import RunningPlatform

TINY_RECIPE = """
recipe: tiny
data: {source: iris}
input: x
candidates: {linear: {trainer: logistic_regression, space: {C: {from: 0.1, to: 1.0}}}}
score: accuracy
budget: {trials: 1}
seed: 1
"""


def write_scaling(path: Path, factor: float, size: int = 1) -> Path:
    """An ONNX model that multiplies its input x, FP32 [-1, 2], by ``factor``.

    Beside that it multiplies two matrices of this ``size`` and adds nothing of it: 512 take some milliseconds.
    """
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
            helper.make_node("Mul", ["zeros", "most"], ["matrix"]),
            helper.make_node("MatMul", ["matrix", "matrix"], ["product"]),
            helper.make_node("ReduceSum", ["product"], ["nothing"], keepdims=0),
            helper.make_node("Mul", ["x", "factor"], ["scaled"]),
            helper.make_node("Add", ["scaled", "nothing"], ["y"]),
        ],
        "scaling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])],
        [
            helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor]),
            helper.make_tensor("zeros", TensorProto.FLOAT, [size, size], [0.0] * size * size),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def scaling_document(service: str, ref: str, limits: str = "{deadline_ms: 2000}") -> str:
    """A service of one such model."""
    return f"""
service: {service}
graph:
  inputs: {{x: {{datatype: FP32, shape: [-1, 2]}}}}
  nodes: {{scale: {{model: {ref}, inputs: {{x: $in.x}}}}}}
  outputs: {{y: scale.y}}
limits: {limits}
"""


def deploy_scaling(
    platform: RunningPlatform, folder: Path, service: str, factor: float, size: int = 1
) -> dict[str, Any]:
    """Adds a model named as the service, which multiplies by ``factor``, and deploys it."""
    with platform.control() as control:
        added = control.add_model(service, write_scaling(folder / f"{service}.onnx", factor, size))
        done: dict[str, Any] = control.deploy(scaling_document(service, f"{service}@{added['number']}"))
    return done


def factor_of(platform: RunningPlatform, service: str) -> float:
    """What the service multiplies by now."""
    with Client(platform.url, platform.key) as client:
        return float(client.predict(service, [[1.0, 2.0]])["y"][0, 0])


def eventually(check: Callable[[], bool], seconds: float = 30.0) -> None:
    """Waits until something holds; the bound is for a busy machine, not a promise of speed."""
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, f"it did not come true within {seconds} s"
        time.sleep(0.1)


def aimass(platform: RunningPlatform, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The command line, as a person uses it against this platform."""
    return subprocess.run(
        [sys.executable, "-m", "aimass", *words],
        capture_output=True,
        text=True,
        input=stdin,
        env={**platform.environment, "COLUMNS": "160"},
        check=False,
    )


def told(platform: RunningPlatform, *words: str) -> Any:
    """What a command says as JSON, when all went well."""
    done = aimass(platform, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def descendants(pid: int) -> set[int]:
    """All processes below this one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    todo = [pid]
    while todo:
        for child in parents.get(todo.pop(), []):
            found.add(child)
            todo.append(child)
    return found


def pids_of(platform: RunningPlatform, title: str) -> set[int]:
    """The processes of this platform whose title begins like this."""
    return {pid for pid in descendants(platform.process.pid) if command_of(pid).startswith(title)}


def command_of(pid: int) -> str:
    """The process's command line or title; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
