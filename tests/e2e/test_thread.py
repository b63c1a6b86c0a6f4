"""The whole thread on one running platform: recipe → run → registry → service → answers, seen from outside."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from prometheus_client.parser import text_string_to_metric_families
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from aimass.client import AsyncClient, Client
from aimass.core.errors import Denied, Invalid, Limited, NotFound, Unauthenticated
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import TINY_RECIPE, aimass, deploy_scaling, eventually, factor_of, scaling_document

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_what_the_run_reports_is_what_the_service_does(platform: RunningPlatform, digits: Any) -> None:
    """Accuracy on the held-out rows, recomputed here through the door, equals the report's to the last row."""
    report = digits.run["report"]
    data = load_digits()
    _, test = train_test_split(
        np.arange(len(data.target)), test_size=0.25, random_state=report["seed"], stratify=data.target
    )
    with Client(platform.url, platform.key) as client:
        labels = client.predict("digits", data.data[test])["label"]
    ensemble = report["contestants"][-1]
    assert float(np.mean(labels == data.target[test])) == pytest.approx(ensemble["test"]["accuracy"]["value"])
    assert np.mean(labels == data.target[test]) > 0.93


def test_merged_and_fused_give_the_same_answers(platform: RunningPlatform, digits: Any) -> None:
    rows = load_digits().data
    with platform.control() as control:
        text = digits.document.replace("service: digits", "service: digits-fused")
        assert "placement: auto" in text or "placement" not in text
        text = text.replace("placement: auto", "placement: fused")
        done = control.deploy(text if "placement" in text else text + "placement: fused\n")
    assert (digits.deployed["plan"], done["plan"]) == ("merged", "fused")
    with Client(platform.url, platform.key) as client:
        merged, fused = (
            [client.predict(name, part) for part in np.array_split(rows, 60)] for name in ("digits", "digits-fused")
        )
    for one, other in zip(merged, fused, strict=True):
        np.testing.assert_allclose(one["probabilities"], other["probabilities"], atol=1e-5)
        clear = np.sort(one["probabilities"])[:, -1] - np.sort(one["probabilities"])[:, -2] > 1e-4
        np.testing.assert_array_equal(one["label"][clear], other["label"][clear])


def test_a_second_service_and_a_new_revision_restart_nothing(platform: RunningPlatform, tmp_path: Path) -> None:
    def replicas() -> set[int]:
        with platform.control() as control:
            return {item["pid"] for item in control.status()["replicas"]}

    before = replicas()
    assert deploy_scaling(platform, tmp_path, "scaling", 2.0)["revision"] == 1
    assert factor_of(platform, "scaling") == 2.0
    assert deploy_scaling(platform, tmp_path, "scaling", 5.0)["revision"] == 2
    assert factor_of(platform, "scaling") == 5.0
    with platform.control() as control:
        assert control.rollback("scaling")["revision"] == 1
        assert factor_of(platform, "scaling") == 2.0
        control.undeploy("scaling")
    with pytest.raises(NotFound):
        factor_of(platform, "scaling")
    assert replicas() == before


def test_a_refused_document_leaves_the_running_revision(platform: RunningPlatform, tmp_path: Path) -> None:
    deploy_scaling(platform, tmp_path, "careful", 2.0)
    with platform.control() as control:
        for text, says in (
            (scaling_document("careful", "careful@9"), r"careful@9"),
            (scaling_document("careful", "careful@1").replace("scale.y", "nobody.y"), "nobody"),
            (scaling_document("careful", "careful@1") + "colour: red\n", r"service.yaml:\d+: colour: unknown key"),
        ):
            with pytest.raises((Invalid, NotFound), match=says):
                control.deploy(text)
        assert len(control.service("careful")["revisions"]) == 1
    assert factor_of(platform, "careful") == 2.0


async def test_the_awaited_client_gives_the_same(platform: RunningPlatform, digits: Any) -> None:
    rows = load_digits().data[:5]
    async with AsyncClient(platform.url, platform.key) as client:
        awaited = await client.predict("digits", rows)
    with Client(platform.url, platform.key) as client:
        answer = client.predict("digits", rows, outputs=["label"])
    assert list(answer) == ["label"]
    np.testing.assert_array_equal(awaited["label"], answer["label"])


@pytest.mark.parametrize("binary", [False, True])
def test_tritonclient_as_its_users_use_it(platform: RunningPlatform, digits: Any, binary: bool) -> None:
    rows = load_digits().data[:3].astype(np.float32)
    headers = {"authorization": f"Bearer {platform.key}"}
    with triton.InferenceServerClient(platform.url.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_model_ready("digits", headers=headers)
        sent = triton.InferInput("image", list(rows.shape), "FP32")
        sent.set_data_from_numpy(rows, binary_data=binary)
        wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("label", "probabilities")]
        answer = client.infer("digits", [sent], outputs=wanted, headers=headers, request_id="mine")
    with Client(platform.url, platform.key) as ours:
        expected = ours.predict("digits", rows)
    assert answer.get_response()["id"] == "mine"
    np.testing.assert_array_equal(answer.as_numpy("label"), expected["label"])
    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected["probabilities"], atol=1e-6)


def test_each_answered_call_is_metered_once(platform: RunningPlatform, tmp_path: Path) -> None:
    deploy_scaling(platform, tmp_path, "metered", 2.0)
    with platform.control() as control:
        made = control.create_key("metered", ["predict"])
    with Client(platform.url, made["secret"]) as client:
        for rows in (1, 2, 3):
            client.predict("metered", np.ones((rows, 2)))
        with pytest.raises(Invalid):
            client.predict("metered", {"x": np.ones((1, 3))})

    def used() -> list[tuple[int, int]]:
        with platform.control() as control:
            found = [item for service in control.services(usage=True) for item in service["usage"]]
        return [(item["calls"], item["rows"]) for item in found if item["key_id"] == made["id"]]

    eventually(lambda: used() == [(3, 6)])


def test_keys_limit_what_one_may_do(platform: RunningPlatform, tmp_path: Path) -> None:
    deploy_scaling(platform, tmp_path, "locked", 2.0)
    with platform.control() as control:
        reader = control.create_key("reader", ["read"])
        slow = control.create_key("slow", ["predict"], rate_per_s=1)
        gone = control.create_key("gone", ["predict"])
    with Client(platform.url, gone["secret"]) as client:
        client.predict("locked", [[1.0, 2.0]])
        with platform.control() as control:
            control.revoke_key(gone["id"])
        with pytest.raises(Unauthenticated):
            client.predict("locked", [[1.0, 2.0]])
    with Client(platform.url, reader["secret"]) as client, pytest.raises(Denied):
        client.predict("locked", [[1.0, 2.0]])
    with Client(platform.url, slow["secret"]) as client, pytest.raises(Limited) as caught:
        for _ in range(20):
            client.predict("locked", [[1.0, 2.0]])
    assert caught.value.retry_after_s > 0
    assert factor_of(platform, "locked") == 2.0


def test_metrics_are_read_by_prometheus_and_add_up(platform: RunningPlatform, tmp_path: Path) -> None:
    deploy_scaling(platform, tmp_path, "counted", 2.0)
    for _ in range(4):
        factor_of(platform, "counted")

    def answered() -> float:
        text = httpx.get(f"{platform.url}/metrics", headers={"authorization": f"Bearer {platform.key}"}).text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(
            sample.value
            for sample in samples
            if sample.name == "aimass_requests_total"
            and (sample.labels["service"], sample.labels["code"]) == ("counted", "200")
        )

    eventually(lambda: answered() == 4.0)


def test_health_is_open_and_the_rest_is_not(platform: RunningPlatform) -> None:
    for url in (platform.url, platform.control_url):
        assert httpx.get(f"{url}/-/healthz").status_code == 200
    assert httpx.get(f"{platform.control_url}/api/v1/services").status_code == 401
    assert httpx.get(f"{platform.control_url}/api/v1/openapi.json").json()["openapi"].startswith("3.")


def test_the_command_line_from_end_to_end(platform: RunningPlatform, digits: Any, tmp_path: Path) -> None:
    def told(*words: str, stdin: str = "") -> Any:
        done = aimass(platform, *words, "--json", stdin=stdin)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return json.loads(done.stdout)

    assert told("status")["reconciler"] == "answers"
    assert "digits" in [item["name"] for item in told("services")]
    assert "digits-ensemble" in [item["name"] for item in told("models", "list")]
    assert told("models", "show", "digits-ensemble")["versions"][0]["kind"] == "ensemble"
    assert told("explain", "digits")["chosen"] == "merged"
    assert told("runs", "show", digits.run["id"])["status"] == "succeeded"
    assert digits.run["id"] in [item["id"] for item in told("runs", "list")]
    assert told("predict", "digits", "--image", str(digits.picture))["outputs"]["label"] == [7]
    page = tmp_path / "report.html"
    assert aimass(platform, "runs", "report", digits.run["id"], "-o", str(page)).returncode == 0
    assert page.read_text() == (platform.home / "runs" / digits.run["id"] / "report.html").read_text()
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps(load_digits().data[:3].tolist()))
    from_file = told("predict", "digits", "--rows", str(rows))["outputs"]
    assert from_file == told("predict", "digits", stdin=rows.read_text())["outputs"]
    made = told("keys", "create", "phone", "--scope", "predict", "--expires", "1h")
    assert made["secret"].startswith("aim_")
    assert made["id"] in [item["id"] for item in told("keys", "list")]
    for words in (
        ["status"],
        ["services"],
        ["services", "--usage"],
        ["models", "list"],
        ["models", "show", "digits-ensemble"],
        ["explain", "digits"],
        ["runs", "list"],
        ["runs", "show", digits.run["id"]],
        ["runs", "logs", digits.run["id"]],
        ["keys", "list"],
        ["keys", "revoke", made["id"]],
        ["models", "sweep", "--dry-run"],
        ["predict", "digits", "--image", str(digits.picture)],
        ["doctor"],
    ):
        done = aimass(platform, *words)
        assert (done.returncode, done.stderr) == (0, ""), f"{words}: {done.stderr}"
        assert done.stdout.strip()


def test_a_recipe_may_be_submitted_by_rays_own_means(platform: RunningPlatform, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(TINY_RECIPE)
    folder = Path(sys.executable).parent
    shell = f"""eval "$({folder}/aimass env)" && {folder}/ray job submit --working-dir . -- aimass run recipe.yaml"""
    for words in (["sh", "-c", shell], [f"{folder}/aimass", "run", "recipe.yaml"]):
        done = subprocess.run(
            words, capture_output=True, text=True, env=platform.environment, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    with platform.control() as control:
        assert [run["status"] for run in control.runs() if run["recipe"] == "tiny"] == ["succeeded"] * 2
        assert "tiny-ensemble" in [model["name"] for model in control.models()]


def test_a_logged_request_is_found_again(platform: RunningPlatform, tmp_path: Path) -> None:
    deploy_scaling(platform, tmp_path, "logged", 2.0)
    with Client(platform.url, platform.key) as client, pytest.raises(Invalid):
        client.predict("logged", {"x": np.ones((1, 3))})

    def errors() -> list[Any]:
        lines = aimass(platform, "logs", "--service", "logged", "--json").stdout.splitlines()
        return [event["status"] for event in map(json.loads, lines)]

    eventually(lambda: errors() == [400])


def test_nothing_listens_beyond_this_machine(platform: RunningPlatform) -> None:
    found = json.loads(aimass(platform, "doctor", "--json").stdout)
    listening = [item["what"] for item in found if item["what"].startswith("listens on ")]
    assert any(what.endswith(platform.url.rpartition(":")[2]) for what in listening)
    assert [what for what in listening if not what.startswith(("listens on 127.", "listens on ::1"))] == []
