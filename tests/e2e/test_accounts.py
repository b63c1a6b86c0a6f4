"""On a real platform: what a second account may call, say was right, and see; and what is not its own is not there."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from aimass.client import Client
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import aimass, eventually, scaling_document, told, write_scaling

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
ROWS = np.array([[1.5, -2.0]], np.float32)


def _as(platform: RunningPlatform, secret: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line with a key of one's own."""
    return subprocess.run(
        [sys.executable, "-m", "aimass", *words],
        capture_output=True,
        text=True,
        env={**platform.environment, "AIMASS_URL": platform.control_url, "AIMASS_KEY": secret, "COLUMNS": "160"},
        cwd=os.fspath(platform.home),
        check=False,
    )


def test_another_account_sees_and_judges_its_own_calls_only(platform: RunningPlatform, tmp_path: Path) -> None:
    made = told(platform, "keys", "create", "bob", "--account", "bob", "--scope", "predict,feedback,read,deploy")
    assert (made["account"], made["new_account"], made["scopes"]) == (
        "bob",
        True,
        ["predict", "feedback", "read", "deploy"],
    )
    bob = made["secret"]
    for words, says in (
        (("--account", "Bob Smith"), "account name 'Bob Smith' must be"),
        (("--account", "bob", "--scope", "admin"), "scope admin is for keys of the platform's own account"),
    ):
        refused = aimass(platform, "keys", "create", "b", *words)
        assert refused.returncode == 1 and says in refused.stderr and len(refused.stderr.splitlines()) == 1
    with platform.control() as control:
        added = control.add_model("owned", write_scaling(tmp_path / "owned.onnx", 3.0))
        control.deploy(scaling_document("owned", f"owned@{added['number']}") + "payloads: {sample: 1}\n")
    with Client(platform.url, platform.key) as client:
        mine = client.predict("owned", ROWS).request_id
    with Client(platform.url, bob) as client:
        his = client.predict("owned", ROWS).request_id
    with platform.control() as control:
        eventually(lambda: [day["calls"] for item in control.payloads("owned") for day in item["days"]] == [2])
        eventually(lambda: {mine, his} <= {line["request_id"] for line in control.logs("owned", False, 100)})
    bearer = {"authorization": f"Bearer {bob}"}
    for request_id, status in ((mine, 404), (his, 202)):
        item = {"request_id": request_id, "row": 0, "reward": 1.0}
        sent = httpx.post(f"{platform.url}/v2/feedback", json=item, headers=bearer)
        assert sent.status_code == status, sent.text
    api = f"{platform.control_url}/api/v1"
    for method, path in (
        ("GET", f"/requests/{mine}"),
        ("POST", f"/requests/{mine}/replay"),
        ("GET", "/payloads/owned"),
        ("GET", "/services/owned/feedback"),
        ("DELETE", "/services/owned"),
    ):
        refused_call = httpx.request(method, api + path, headers=bearer)
        assert (refused_call.status_code, refused_call.json()["kind"]) == (404, "not_found"), path
    logged = httpx.get(f"{api}/logs", headers=bearer).text
    assert his in logged and mine not in logged
    for words, says in (
        (("feedback", mine, "--reward", "1"), "no answer with the request id"),
        (("trace", mine), f"no request '{mine}' is on record"),
        (("replay", mine), f"no request '{mine}' is on record"),
        (("payloads", "owned"), "no service is named 'owned'"),
    ):
        refused = _as(platform, bob, *words)
        assert refused.returncode == 1 and says in refused.stderr and len(refused.stderr.splitlines()) == 1, words
    assert _as(platform, bob, "trace", his).returncode == 0
