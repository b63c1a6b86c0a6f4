"""Guarded rollouts on a running platform, under load: a bad revision returns by itself, a good one takes over."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from aimass.client.control import Control
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import aimass, eventually, pids_of, scaling_document, write_scaling
from tests.e2e.numbered import Numbered, asking

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
SERVICE = "rolled"
CLIENTS = 4
EVERY, BAD = 20, 13  # numbers that are 13 modulo 20 are those that the bad revision fails at
ENDED = ("promoted", "aborted", "returned")


def write_failing(path: Path, factor: float) -> Path:
    """A model that multiplies by ``factor`` and fails at a row whose first number is ``BAD`` modulo ``EVERY``."""
    nodes = [
        helper.make_node("Mul", ["x", "factor"], ["scaled"]),
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mod", ["whole", "every"], ["rest"]),
        helper.make_node("Equal", ["rest", "bad"], ["is_bad"]),
        helper.make_node("Where", ["is_bad", "beyond", "first"], ["index"]),
        helper.make_node("Gather", ["nothing", "index"], ["zeros"]),  # there is nothing at 99: onnxruntime says so
        helper.make_node("Add", ["scaled", "zeros"], ["y"]),
    ]
    numbers = {"every": EVERY, "bad": BAD, "beyond": 99, "first": 0}
    graph = helper.make_graph(
        nodes,
        "failing",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])],
        [
            helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor]),
            helper.make_tensor("nothing", TensorProto.FLOAT, [1], [0.0]),
            *(helper.make_tensor(name, TensorProto.INT64, [1], [number]) for name, number in numbers.items()),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.fixture
def control(platform: RunningPlatform) -> Iterator[Control]:
    with platform.control() as opened:
        yield opened


def add(control: Control, path: Path, traffic: bool) -> int:
    """A further revision of the service; its number."""
    added = control.add_model(SERVICE, path)
    document = scaling_document(SERVICE, f"{SERVICE}@{added['number']}")
    return int(control.deploy(document, traffic=traffic)["revision"])


def state(control: Control) -> str:
    return str(control.rollout(SERVICE)["state"])


def test_a_bad_revision_returns_and_a_good_one_takes_over(
    platform: RunningPlatform, control: Control, tmp_path: Path
) -> None:
    old = add(control, write_scaling(tmp_path / "old.onnx", 2.0), traffic=True)
    bad = add(control, write_failing(tmp_path / "bad.onnx", 2.0), traffic=False)
    good = add(control, write_scaling(tmp_path / "good.onnx", 2.0, size=2), traffic=False)
    load = Numbered(platform, SERVICE, 2.0)
    quick = ("--least-requests", "30", "--least-time", "1")
    with asking(load, CLIENTS):
        eventually(lambda: len(load.answered) > 200)
        started = aimass(platform, "rollout", SERVICE, str(bad), "--steps", "20,50,100", *quick)
        assert f"revision {bad} of {SERVICE} takes 20 % of the calls; errors, latency, cost on guard" in started.stdout
        eventually(lambda: state(control) in ENDED)
        found = control.rollout(SERVICE, looks=True)
        refused = len(load.refused)
        load.answered.clear()
        eventually(lambda: len(load.answered) > 200)
        assert load.refused[refused + CLIENTS :] == [], "what was under way when traffic moved, and no more"
        control.roll_out(SERVICE, good, steps=[20, 100], guards=["errors"], least_requests=30, least_s=1.0)
        eventually(lambda: state(control) in ENDED)
    assert (found["state"], found["share"]) == ("returned", 0.0)
    assert found["why"].startswith("errors: ")
    evidence = [(look["at"], item) for look in found["looks"] for item in look["guards"] if item["guard"] == "errors"]
    certain = next(at for at, item in evidence if item["evidence"] >= item["needed"])
    assert found["moves"][-1]["at"] - certain <= 5.0
    assert load.wrong == []
    assert {(number % EVERY, status) for number, status, _ in load.refused} == {(BAD, 500)}, "nothing else was lost"
    assert (state(control), control.service(SERVICE)["weights"]) == ("promoted", {str(good): 100.0})
    for target in (old,):
        assert control.rollback(SERVICE)["revision"] == target


@pytest.mark.slow
def test_a_rollout_survives_its_reconciler(platform: RunningPlatform, control: Control, tmp_path: Path) -> None:
    """Steps of 1, 5 and 25 %, each of ten seconds and a hundred requests, with a reconciler that is killed in two."""
    add(control, write_scaling(tmp_path / "old.onnx", 2.0), traffic=True)
    good = add(control, write_scaling(tmp_path / "good.onnx", 2.0, size=2), traffic=False)
    bad = add(control, write_failing(tmp_path / "bad.onnx", 2.0), traffic=False)
    load = Numbered(platform, SERVICE, 2.0)
    with asking(load, CLIENTS):
        eventually(lambda: len(load.answered) > 1000)
        for revision, end in ((good, "promoted"), (bad, "returned")):
            control.roll_out(SERVICE, revision, guards=["errors", "cost"], least_s=10.0)
            eventually(lambda: len(control.rollout(SERVICE, looks=True)["looks"]) > 3)
            for pid in pids_of(platform, "ray::Reconciler"):
                os.kill(pid, signal.SIGKILL)
            eventually(lambda: state(control) in ENDED, 240)
            assert state(control) == end
    assert load.wrong == []
    assert {(number % EVERY, status) for number, status, _ in load.refused} <= {(BAD, 500)}
