"""Guarded rollouts on a running platform, under load: a bad revision returns by itself, a good one takes over."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from aimass.client.control import Control
from aimass.testing.faults.failing import failing
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
    path.write_bytes(failing(factor, EVERY, BAD))
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


def kill_reconciler(platform: RunningPlatform, control: Control, step: int) -> dict[str, Any]:
    """``kill -9`` after some looks of that step; what was known of the rollout just before."""

    def is_in_the_middle() -> bool:
        shown = control.rollout(SERVICE, looks=True)
        began = next((move["at"] for move in shown["moves"] if move["step"] == step), None)
        return began is not None and sum(look["at"] > began for look in shown["looks"]) > 3

    eventually(is_in_the_middle, 120)
    before: dict[str, Any] = control.rollout(SERVICE, looks=True)
    (pid,) = pids_of(platform, "ray::Reconciler")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: bool(pids_of(platform, "ray::Reconciler") - {pid}), 60)
    return before


def check_goes_on(before: list[dict[str, Any]], found: dict[str, Any]) -> None:
    """All moves and looks of before are there as they were, and those after them go on from there."""
    for earlier in before:
        for kind in ("moves", "looks"):
            assert found[kind][: len(earlier[kind])] == earlier[kind]
    steps = [(move["step"], move["state"]) for move in found["moves"]]
    assert all(after != before for before, after in pairwise(steps)), "no decision is taken twice"
    assert [step for step, _ in steps] == sorted(step for step, _ in steps)
    at = [look["at"] for look in found["looks"]]
    assert at == sorted(set(at))
    for guard in ("errors", "cost"):
        seen = [item["candidate"] for look in found["looks"] for item in look["guards"] if item["guard"] == guard]
        for kind in ("bad", "all"):
            values = [item[kind] for item in seen]
            assert values == sorted(values), "what was counted is not forgotten"


def counted(found: dict[str, Any], kind: str) -> float:
    """Calls of the candidate that the guard of errors has counted in all."""
    return float(next(item["candidate"][kind] for item in found["guards"] if item["guard"] == "errors"))


def is_metered(control: Control, revision: int, calls: float) -> bool:
    """Whether the revision has answered so many calls, or more."""
    usage = control.service(SERVICE)["usage"]
    return bool(sum(item["calls"] for item in usage if item["revision"] == revision) >= calls)


@pytest.mark.slow
def test_a_rollout_survives_its_reconciler(platform: RunningPlatform, control: Control, tmp_path: Path) -> None:
    """Steps of 1, 5 and 25 %, each of ten seconds and a hundred requests, with a reconciler that is killed in the
    middle of the first, and for the good revision of the next too: what was looked at, counted and decided stays, and
    nothing is done or counted twice."""
    add(control, write_scaling(tmp_path / "old.onnx", 2.0), traffic=True)
    good = add(control, write_scaling(tmp_path / "good.onnx", 2.0, size=2), traffic=False)
    bad = add(control, write_failing(tmp_path / "bad.onnx", 2.0), traffic=False)
    load = Numbered(platform, SERVICE, 2.0)
    with asking(load, CLIENTS):
        eventually(lambda: len(load.answered) > 1000)
        for revision, end in ((good, "promoted"), (bad, "returned")):
            refused = len(load.refused)
            control.roll_out(SERVICE, revision, guards=["errors", "cost"], least_s=10.0)
            before: list[dict[str, Any]] = [kill_reconciler(platform, control, step=0)]
            if end == "promoted":
                before.append(kill_reconciler(platform, control, step=1))
            eventually(lambda: state(control) in ENDED, 240)
            assert state(control) == end
            found = control.rollout(SERVICE, looks=True)
            check_goes_on(before, found)
            assert counted(found, "bad") <= len(load.refused) - refused
            eventually(partial(is_metered, control, revision, counted(found, "all") - counted(found, "bad")))
    shares = [move["weights"].get(str(good)) for move in reversed(control.traffic(SERVICE)["moves"])]
    assert [share for share in shares if share][:4] == [1.0, 5.0, 25.0, 100.0], "each step once"
    assert load.wrong == []
    assert {(number % EVERY, status) for number, status, _ in load.refused} <= {(BAD, 500)}
