"""The doors as settings change them, through ``aimass up``: HTTPS by two files, and Ray Serve's own ingress."""

import json
import os
import shutil
import signal
import ssl
from pathlib import Path

import httpx
import pytest

from aimass.client import Client, Control
from aimass.core.errors import AimassError
from aimass.core.home import Home
from aimass.testing.gateway import trusting
from aimass.testing.running import RunningPlatform, running
from tests.e2e.e2e_kit import aimass, eventually, scaling_document, write_scaling

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

BODY = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1.0,2.0]}]}'


def deploy_by_command(platform: RunningPlatform, folder: Path) -> None:
    """A service `twice`, which multiplies by 2, as a person makes it who has only the home."""
    document, rows = folder / "service.yaml", folder / "rows.json"
    document.write_text(scaling_document("twice", "twice@1"))
    rows.write_text("[[1.0, 2.0]]")
    for words in (
        ["models", "add", "twice", str(write_scaling(folder / "twice.onnx", 2.0))],
        ["deploy", str(document)],
        ["predict", "twice", "--rows", str(rows)],
    ):
        done = aimass(platform, *words, "--json")
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"]["y"] == [[2.0, 4.0]]


@pytest.mark.slow
def test_two_files_make_both_doors_speak_https(
    tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, secret = certificate
    with running(tmp_path / "home", tls_cert=cert, tls_key=secret) as platform:
        assert platform.url.startswith("https://")
        assert platform.control_url.startswith("https://")
        deploy_by_command(platform, tmp_path)
        monkeypatch.setenv("AIMASS_HOME", str(platform.home))
        with Client() as client:
            assert client.predict("twice", [[3.0, 4.0]])["y"].tolist() == [[6.0, 8.0]]

        headers = {"authorization": f"Bearer {platform.key}"}
        trusts = trusting(cert)
        for url in (f"{platform.url}/v2/models/twice", f"{platform.control_url}/api/v1/services"):
            assert httpx.get(url, headers=headers, verify=trusts).status_code == 200
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                httpx.get(url, headers=headers, verify=ssl.create_default_context())
            with pytest.raises(httpx.RemoteProtocolError):
                httpx.get(url.replace("https", "http", 1), headers=headers)

        _a_replica_starts_before_its_artifacts_are_there(platform)


def _a_replica_starts_before_its_artifacts_are_there(platform: RunningPlatform) -> None:
    """It says what is missing, and serves it once it is there, with nothing deployed or restarted."""
    home = Home(platform.home)

    def replicas() -> list[tuple[int, int, int]]:
        with Control() as control:
            return [(item["pid"], item["loaded"], item["failed"]) for item in control.status()["replicas"]]

    def answers() -> bool:
        try:
            with Client() as client:
                return bool(client.predict("twice", [[1.0, 2.0]])["y"].tolist() == [[2.0, 4.0]])
        except AimassError:
            return False

    ((killed, *_),) = replicas()
    hidden = home.artifacts.with_name("hidden")
    home.artifacts.rename(hidden)
    shutil.rmtree(home.cache)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: [item[1:] for item in replicas() if item[0] != killed] == [(0, 1)], 90)
    assert not answers()
    ((started, *_),) = (item for item in replicas() if item[0] != killed)
    shutil.rmtree(home.artifacts, ignore_errors=True)
    hidden.rename(home.artifacts)
    eventually(answers, 60)
    eventually(lambda: replicas() == [(started, 1, 0)])


@pytest.mark.slow
def test_ray_serves_own_ingress_answers_as_our_door_does(tmp_path: Path) -> None:
    with running(tmp_path / "home", ingress="serve") as platform:
        deploy_by_command(platform, tmp_path)
        with httpx.Client(base_url=platform.url, headers={"authorization": f"Bearer {platform.key}"}) as client:
            answer = client.post("/v2/models/twice/infer", content=BODY)
            assert answer.status_code == 200
            assert answer.json()["outputs"][0]["data"] == [2.0, 4.0]
            assert answer.headers["x-aimass-revision"] == "1"
            assert client.post("/v2/models/twice/infer", content=b"{").status_code == 400
            assert client.get("/v2/models/none").status_code == 404
            assert client.get("/v2/models/twice", headers={"authorization": "Bearer x"}).status_code == 401
        with platform.control() as control:
            eventually(lambda: [item["calls"] for item in control.services(usage=True)[0]["usage"]] == [2])


def test_a_replica_gives_way_to_nobody(platform: RunningPlatform) -> None:
    """Ray would have run it at niceness 15; see benchmarks/LOG.md for what that costs callers."""
    with platform.control() as control:
        replicas = [item["pid"] for item in control.status()["replicas"]]
    priorities = {os.getpriority(os.PRIO_PROCESS, pid) for pid in replicas}
    assert priorities == {os.getpriority(os.PRIO_PROCESS, platform.process.pid)}
