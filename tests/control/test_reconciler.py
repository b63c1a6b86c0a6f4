"""The reconciler on a running platform: changes reach the door, nothing restarts, it comes back by itself."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from aimass.client.client import Client
from aimass.client.control import Control
from aimass.control.platform.processes import members
from aimass.core.errors import AimassError, Invalid, Unauthenticated
from aimass.core.home import Home
from aimass.testing.desk import service_document, times
from aimass.testing.running import RunningPlatform

pytestmark = pytest.mark.ray
T = TypeVar("T")
PATIENCE_S = 60.0


@pytest.fixture
def control(platform: RunningPlatform) -> Iterator[Control]:
    with platform.control() as opened:
        yield opened


def answer(platform: RunningPlatform, service: str) -> float:
    with Client(platform.url, platform.key) as client:
        return float(client.predict(service, np.ones((1, 2), np.float32))["y"][0, 0])


def add(control: Control, folder: Path, factor: float) -> str:
    path = folder / "model.onnx"
    path.write_bytes(times(factor))
    ref: str = control.add_model("factor", path)["ref"]
    return ref


def processes(platform: RunningPlatform, name: str) -> list[int]:
    return [item.pid for item in members(Path(platform.file.ray_dir)) if name in item.command]


def in_time(what: Callable[[], T]) -> T:
    """The answer once it comes without an error of ours."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return what()
        except (AimassError, AssertionError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_revisions_and_services_arrive_without_any_restart(
    platform: RunningPlatform, control: Control, tmp_path: Path
) -> None:
    before = processes(platform, "ray::ServeReplica")
    refs = [add(control, tmp_path, factor) for factor in (2.0, 3.0)]
    for ref, factor in zip(refs, (2.0, 3.0), strict=True):
        done = control.deploy(service_document(ref, "arrives"))
        assert (done["replicas"], done["silent"]) == (1, [])
        assert answer(platform, "arrives") == factor
    control.deploy(service_document(refs[0], "arrives-too", "fused"))
    assert answer(platform, "arrives-too") == 2.0
    control.rollback("arrives")
    assert answer(platform, "arrives") == 2.0
    for name in ("arrives", "arrives-too"):
        control.undeploy(name)
    assert processes(platform, "ray::ServeReplica") == before


def test_a_corrupted_artifact_is_refused_by_name_and_the_running_revision_stays(
    platform: RunningPlatform, control: Control, tmp_path: Path
) -> None:
    control.deploy(service_document(add(control, tmp_path, 2.0), "sound"))
    ref = add(control, tmp_path, 7.0)
    digest = control.model("factor")["versions"][-1]["files"]["model.onnx"]
    path = Home(platform.home).artifacts / digest[:2] / digest[2:]
    path.chmod(0o600)
    path.write_bytes(b"broken")
    with pytest.raises(Invalid, match=f"{ref}.*corrupted"):
        control.deploy(service_document(ref, "sound"))
    assert answer(platform, "sound") == 2.0
    control.undeploy("sound")


def test_a_revoked_key_opens_nothing_once_the_call_has_returned(
    platform: RunningPlatform, control: Control, tmp_path: Path
) -> None:
    control.deploy(service_document(add(control, tmp_path, 2.0), "locked"))
    made = control.create_key("brief", ["predict"])
    with Client(platform.url, made["secret"]) as client:
        client.predict("locked", np.ones((1, 2), np.float32))
        assert control.revoke_key(made["id"])["silent"] == []
        with pytest.raises(Unauthenticated):
            client.predict("locked", np.ones((1, 2), np.float32))
    control.undeploy("locked")


def test_calls_go_on_while_the_reconciler_is_dead_and_it_comes_back(
    platform: RunningPlatform, control: Control, tmp_path: Path
) -> None:
    control.deploy(service_document(add(control, tmp_path, 2.0), "steady"))
    counted = _answered(platform)
    (pid,) = processes(platform, "ray::Reconciler")
    os.kill(pid, 9)
    assert answer(platform, "steady") == 2.0
    made = control.create_key("while it is away", ["predict"])

    def key_works() -> None:
        with Client(platform.url, made["secret"]) as client:
            client.predict("steady", np.ones((1, 2), np.float32))

    in_time(key_works)
    in_time(lambda: control.deploy(service_document("factor@1", "steady")))
    control.undeploy("steady")
    assert processes(platform, "ray::Reconciler") != [pid]
    assert _answered(platform) >= counted


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
def test_a_revocation_does_not_wait_for_a_reconciler_that_is_away(
    platform: RunningPlatform, control: Control, tmp_path: Path, number: signal.Signals
) -> None:
    control.deploy(service_document(add(control, tmp_path, 2.0), "urgent"))
    made = control.create_key("brief", ["predict"])
    (pid,) = in_time(lambda: _one(processes(platform, "ray::Reconciler")))
    with Client(platform.url, made["secret"]) as client:
        client.predict("urgent", np.ones((1, 2), np.float32))
        os.kill(pid, number)
        try:
            done = control.revoke_key(made["id"])
            with pytest.raises(Unauthenticated):
                client.predict("urgent", np.ones((1, 2), np.float32))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    assert done["replicas"] == 1, "the replica had it when the call returned"
    in_time(lambda: control.undeploy("urgent"))


def test_a_run_whose_job_is_killed_is_marked_as_failed(platform: RunningPlatform, control: Control) -> None:
    run_id = control.train(
        "recipe: long\ndata: {source: iris}\ncandidates: {a: {trainer: logistic_regression, space: {C: 1.0}}}\n"
        "budget: {trials: 5000}\n"
    )["id"]

    def job() -> int:
        found = processes(platform, run_id)
        assert found
        assert control.run(run_id)["status"] == "running"
        return found[-1]

    os.kill(in_time(job), 9)

    def is_failed() -> None:
        assert control.run(run_id)["status"] == "failed"

    in_time(is_failed)
    assert "died" in control.runs()[0]["error"]
    assert list(control.run_logs(run_id, follow=True))


def _one(found: list[int]) -> list[int]:
    assert len(found) == 1
    return found


def _answered(platform: RunningPlatform) -> float:
    import httpx

    text = httpx.get(f"{platform.url}/metrics").text
    return sum(
        float(line.split()[-1]) for line in text.splitlines() if line.startswith('aimass_requests_total{code="200"')
    )
