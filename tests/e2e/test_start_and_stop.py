"""Start and stop, wanted and unwanted: what is deployed comes back, what was started goes, all else stays."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from aimass.client import Client
from aimass.control.platform import ray_dir
from aimass.control.platform.processes import members
from aimass.core.errors import AimassError
from aimass.core.home import Home
from aimass.testing.running import RunningPlatform, clean_environment, running, start
from tests.e2e.e2e_kit import (
    TINY_RECIPE,
    aimass,
    command_of,
    deploy_scaling,
    descendants,
    eventually,
    factor_of,
    is_running,
    pids_of,
    scaling_document,
)
from tests.e2e.numbered import Numbered, asking, deploy_apart

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """A platform of this file's own, with one service that multiplies by 2."""
    folder = tmp_path_factory.mktemp("own")
    with running(folder / "home") as platform:
        deploy_scaling(platform, folder, "twice", 2.0)
        yield platform


def up(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``aimass up`` that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "aimass", "up", *words],
        capture_output=True,
        text=True,
        env={**clean_environment(home), **environment},
        timeout=120,
        check=False,
    )


def port(url: str) -> str:
    return url.rpartition(":")[2]


def test_up_again_only_says_where(own: RunningPlatform) -> None:
    again = up(own.home)
    assert again.returncode == 0
    assert own.url in again.stdout
    assert str(own.process.pid) in again.stdout
    moved = up(own.home, "--port", "18999")
    assert moved.returncode == 1
    assert f"runs already, on {own.url}; stop it with aimass down" in moved.stderr


def test_no_other_user_gets_to_rays_files(own: RunningPlatform) -> None:
    """Ray opens its own folder to all; jobs' code is unpacked and run there."""
    folder = Path(own.file.ray_dir)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (ray_dir.temporary_of(folder) / "session_latest").exists()


def test_the_port_of_another_platform_is_refused_by_name(own: RunningPlatform, tmp_path: Path) -> None:
    refused = up(tmp_path / "home", "--port", port(own.url))
    assert refused.returncode == 1
    assert f"port {port(own.url)} is taken by pid " in refused.stderr
    assert f"the AI Mass of {own.home}" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def answers(platform: RunningPlatform, factor: float) -> bool:
    try:
        return bool(factor_of(platform, "twice") == factor)
    except AimassError:
        return False


def calls_metered(platform: RunningPlatform, key_id: str) -> int:
    with platform.control() as control:
        used = [item for service in control.services(usage=True) for item in service["usage"]]
    return sum(item["calls"] for item in used if item["key_id"] == key_id)


def test_a_killed_replica_comes_back_and_its_calls_are_metered(own: RunningPlatform) -> None:
    with own.control() as control:
        key = control.create_key("before the kill", ["predict"])
    with Client(own.url, key["secret"]) as client:
        for _ in range(25):
            client.predict("twice", [[1.0, 2.0]])
    with own.control() as control:
        (replica,) = control.status()["replicas"]
    os.kill(replica["pid"], signal.SIGKILL)
    eventually(lambda: answers(own, 2.0), 60)
    eventually(lambda: calls_metered(own, key["id"]) == 25, 60)


def test_without_the_serve_controller_calls_go_on(own: RunningPlatform) -> None:
    (controller,) = pids_of(own, "ray::ServeController")
    os.kill(controller, signal.SIGKILL)
    for _ in range(50):
        assert factor_of(own, "twice") == 2.0
    eventually(lambda: bool(pids_of(own, "ray::ServeController") - {controller}), 60)
    assert factor_of(own, "twice") == 2.0


def test_a_killed_reconciler_comes_back(own: RunningPlatform, tmp_path: Path) -> None:
    (reconciler,) = pids_of(own, "ray::Reconciler")
    os.kill(reconciler, signal.SIGKILL)
    assert factor_of(own, "twice") == 2.0
    assert deploy_scaling(own, tmp_path, "later", 7.0)["revision"] == 1
    assert factor_of(own, "later") == 7.0


def test_kill_9_of_it_all_then_up_restores(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = start(home)
    deploy_scaling(first, tmp_path, "twice", 2.0)
    deploy_scaling(first, tmp_path, "twice", 4.0)
    deploy_apart(first, tmp_path, "apart", "{min: 1, max: 1}")
    with first.control() as control:
        control.rollback("twice")
    folder = Path(first.file.ray_dir)
    first.process.kill()
    first.process.wait()
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with running(home) as second:
            assert "Cleared what a dead platform of this home left" in second.output()
            eventually(lambda: "Restored: apart, twice." in second.output())
            assert factor_of(second, "twice") == 2.0
            assert factor_of(second, "apart") == 3.0
            assert bystander.poll() is None
            assert second.stop() == 0
        assert "Stopped by Ctrl-C." in second.output()
        assert members(folder) == []
        assert not folder.exists()
    finally:
        bystander.kill()
        bystander.communicate()


@pytest.mark.slow
def test_what_cannot_be_restored_is_said_and_deploying_it_again_mends_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.path.mkdir(mode=0o755)
    with running(home.path) as first:
        deploy_scaling(first, tmp_path, "twice", 2.0)
        open_to_others = {path.name for path in home.path.iterdir() if path.stat().st_mode & 0o077}
        assert open_to_others == {"up.out"}, "what others may enter shows them nothing"
        with first.control() as control:
            model = control.model("twice")["versions"][0]["files"]["model.onnx"]
    (merged,) = {path for path in home.artifacts.rglob("*") if path.is_file()} - {
        home.artifacts / model[:2] / model[2:]
    }
    merged.chmod(0o600)
    merged.write_bytes(b"broken")
    shutil.rmtree(home.cache)
    with running(home.path) as second:
        eventually(lambda: "twice revision 1 cannot be loaded: model.onnx: artifact" in second.output())
        assert "Restored: " not in second.output()
        found = json.loads(aimass(second, "doctor", "--json").stdout)
        bad = [item["says"] for item in found if item["what"] == "service twice, revision 1"]
        assert [says.partition(": ")[0] for says in bad] == ["model.onnx", "replicas cannot load it"]
        with second.control() as control:
            assert control.deploy(scaling_document("twice", "twice@1"))["revision"] == 2
        assert factor_of(second, "twice") == 2.0


@contextmanager
def starting(home: Path, until: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """``aimass up`` in a session of its own, come as far as that line; and what it writes after it."""
    home.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "aimass", "up"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**clean_environment(home), **other_ports()},
        start_new_session=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith(until):
                break
        yield process, process.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_during_the_start_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    home = tmp_path / "home"
    with starting(home, "Starting Ray") as (process, says):
        eventually(lambda: len(descendants(process.pid)) > 2, 60)
        below = descendants(process.pid)
        os.killpg(process.pid, number)  # as a terminal does it
        says.read()
        assert process.wait(60) == 130
    eventually(lambda: not any(is_running(pid) for pid in below))
    assert not (home / "platform.json").exists()


@pytest.mark.parametrize(
    "moment", ["Preparing database", "Starting Ray", "Starting the reconciler", "Waiting for the control API"]
)
def test_down_during_the_start_leaves_nothing_and_up_says_why(tmp_path: Path, moment: str) -> None:
    home = tmp_path / "home"
    with starting(home, moment) as (process, says):
        below = descendants(process.pid)
        words = [sys.executable, "-m", "aimass", "down"]
        done = subprocess.run(words, capture_output=True, text=True, env=clean_environment(home), check=False)
        assert done.returncode == 0, done.stderr
        assert f"ran as pid {process.pid}" in done.stdout
        assert "Stopped by aimass down or kill before it was up." in says.read()
        assert process.wait(5) == 130
    folder = ray_dir.ray_dir_of(Home(home))
    assert [pid for pid in below if is_running(pid)] == [process.pid for process in members(folder)] == []
    assert not folder.exists()
    assert not (home / "platform.json").exists()


def other_ports() -> dict[str, str]:
    from aimass.testing.running import free_ports

    first, second, third = free_ports(3)
    return {"AIMASS_PORT": str(first), "AIMASS_CONTROL_PORT": str(second), "AIMASS_GRPC_PORT": str(third)}


FOREIGN = """
import ray
ray.init(address="local", num_cpus=1, include_dashboard=True, log_to_driver=False, logging_level="error")
print("up", flush=True)
input()
print(ray.is_initialized() and ray.get(ray.remote(lambda: 42).remote()), flush=True)
"""


@pytest.mark.slow
def test_beside_a_foreign_ray_ours_keeps_to_itself(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FOREIGN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(tmp_path),
    ) as foreign:
        assert foreign.stdout
        assert foreign.stdin
        assert foreign.stdout.readline() == "up\n"
        with running(tmp_path / "home") as platform:
            assert "Another Ray runs on this machine" in platform.output()
            with platform.control() as control:
                run_id = control.train(TINY_RECIPE)["id"]
                eventually(lambda: control.run(run_id)["status"] not in ("queued", "running"), 120)
                assert control.run(run_id)["status"] == "succeeded", "\n".join(control.run_logs(run_id))
            assert platform.stop() == 0
        foreign.stdin.write("\n")
        foreign.stdin.flush()
        assert foreign.stdout.readline() == "42\n"


@pytest.mark.slow
def test_down_from_another_terminal_while_fan_out_nodes_work(tmp_path: Path) -> None:
    """Every call that was taken is answered: nodes go after the gateway has finished its calls on them."""
    platform = start(tmp_path / "home")
    deploy_apart(platform, tmp_path, "busy", "{min: 1, max: 1}", size=512)
    load = Numbered(platform, "busy", 3.0)
    with asking(load, clients=8):
        eventually(lambda: len(load.answered) > 50)
        below = descendants(platform.process.pid)
        assert len(below) > 5
        done = aimass(platform, "down")
    assert load.refused == []
    assert {wrong.partition(": ")[2].partition("(")[0] for wrong in load.wrong} == {"ConnectError"}
    assert done.returncode == 0, done.stderr
    assert f"ran as pid {platform.process.pid}" in done.stdout
    assert platform.process.wait(10) == 0
    eventually(lambda: not any(is_running(pid) for pid in below))
    assert "No platform runs" in aimass(platform, "down").stdout


def test_when_ray_dies_up_says_so_and_cleans_up(tmp_path: Path) -> None:
    platform = start(tmp_path / "home")
    folder = Path(platform.file.ray_dir)
    (raylet,) = (pid for pid in descendants(platform.process.pid) if "raylet/raylet" in command_of(pid))
    os.kill(raylet, signal.SIGKILL)
    assert platform.process.wait(60) == 1
    assert "Ray's raylet" in platform.output()
    assert members(folder) == []
    assert not folder.exists()


def test_the_doctor_of_a_stopped_home_is_content(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "aimass", "doctor", "--json"],
        capture_output=True,
        text=True,
        env={**clean_environment(tmp_path / "home"), **other_ports()},
        check=False,
    )
    assert found.returncode == 0, found.stdout
    assert "none runs from" in next(item["says"] for item in json.loads(found.stdout) if item["what"] == "platform")
