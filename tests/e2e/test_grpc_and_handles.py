"""One platform, three doors: HTTP, gRPC and Python handles give the same answers and are metered alike."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from sklearn.datasets import load_digits

from aimass.client import Client
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import eventually

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
BATCH = Path(__file__).parents[2] / "deployments" / "digits" / "batch.py"


@pytest.fixture
def own_key(platform: RunningPlatform) -> dict[str, Any]:
    """A key of the test's own: what is metered on it is the test's, however late other calls are metered."""
    with platform.control() as control:
        made: dict[str, Any] = control.create_key("own", ["predict"])
    return made


def rows_metered(platform: RunningPlatform, key: dict[str, Any]) -> int:
    with platform.control() as control:
        found = next(item for item in control.services(usage=True) if item["name"] == "digits")
    return sum(used["rows"] for used in found["usage"] if used["key_id"] == key["id"])


def by_grpc(platform: RunningPlatform, rows: Any, key: str = "") -> Any:
    given = triton.InferInput("image", list(rows.shape), "FP32")
    given.set_data_from_numpy(rows)
    with triton.InferenceServerClient(platform.file.grpc) as client:
        return client.infer("digits", [given], headers={"authorization": f"Bearer {key or platform.key}"})


def test_triton_over_grpc_gets_what_http_gets(platform: RunningPlatform, digits: Any, own_key: dict[str, Any]) -> None:
    rows = load_digits().data[:50].astype(np.float32)
    with Client(platform.url, own_key["secret"]) as client:
        expected = client.predict("digits", rows)
    answer = by_grpc(platform, rows, own_key["secret"])
    np.testing.assert_array_equal(answer.as_numpy("label"), expected["label"])
    np.testing.assert_array_equal(answer.as_numpy("probabilities"), expected["probabilities"])
    eventually(lambda: rows_metered(platform, own_key) == 100)


def test_a_revoked_key_stops_working_over_grpc_too(platform: RunningPlatform, digits: Any) -> None:
    rows = load_digits().data[:1].astype(np.float32)
    with platform.control() as control:
        made = control.create_key("grpc", ["predict"])
        by_grpc(platform, rows, made["secret"])
        control.revoke_key(made["id"])
        with pytest.raises(Exception, match="revoked") as refused:
            by_grpc(platform, rows, made["secret"])
    assert refused.value.status() == str(grpc.StatusCode.UNAUTHENTICATED)  # type: ignore[attr-defined]


EVERYWHERE = """
import json, sys
from aimass.core.errors import AimassError
from aimass.serving.handle import handle, join

join()
import numpy as np
import ray
from ray import serve
from sklearn.datasets import load_digits

rows, digits = load_digits().data[:20].astype("float32"), handle("digits")

@ray.remote(num_cpus=0.1)
def task(found):
    return found.predict(rows)["label"]

@ray.remote(num_cpus=0.1)
class Actor:
    def __init__(self):
        from aimass.serving.handle import handle
        self.digits = handle("digits")  # by the home's key

    async def ask(self):
        return (await self.digits.predict_async(rows))["label"]

@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Deployment:
    async def ask(self):
        return (await digits.predict_async(rows))["label"]

def refusal(call):
    try:
        call()
    except AimassError as error:
        return f"{error.kind}: {error}"

deployed = serve.run(Deployment.bind(), name="caller", route_prefix=None)
found = {
    "driver": digits.predict(rows)["label"],
    "task": ray.get(task.remote(digits)),
    "actor": ray.get(Actor.remote().ask.remote()),
    "deployment": deployed.ask.remote().result(),
}
serve.delete("caller")
refused = {
    "service": refusal(lambda: handle("nope").predict(rows)),
    "key": refusal(lambda: handle("digits", "aim_wrong").predict(rows)),
    "input": refusal(lambda: digits.predict({"picture": rows})),
}
print(json.dumps({**{name: labels.tolist() for name, labels in found.items()}, "refused": refused}))
"""


def test_handles_work_from_every_kind_of_ray_program(platform: RunningPlatform, digits: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EVERYWHERE],
        capture_output=True,
        text=True,
        env=platform.environment,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    with Client(platform.url, platform.key) as client:
        expected = client.predict("digits", load_digits().data[:20])["label"].tolist()
    for kind in ("driver", "task", "actor", "deployment"):
        assert found[kind] == expected, kind
    assert found["refused"]["service"].startswith("not_found: no service 'nope'; there is:")
    assert found["refused"]["key"].startswith("unauthenticated: ")
    assert found["refused"]["input"] == "invalid: input 'image' is missing; this model takes: image"


def test_a_batch_job_labels_its_rows_through_a_handle(
    platform: RunningPlatform, digits: Any, own_key: dict[str, Any]
) -> None:
    rows, images = 20_000, load_digits().data.astype(np.float32)
    done = subprocess.run(
        [sys.executable, str(BATCH), str(rows)],
        capture_output=True,
        text=True,
        env={**platform.environment, "AIMASS_KEY": own_key["secret"]},
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with Client(platform.url, platform.key) as client:
        labels = np.concatenate([client.predict("digits", part)["label"] for part in np.array_split(images, 60)])
    expected = np.bincount(labels[np.arange(rows) % len(images)], minlength=10).tolist()
    said = done.stdout.splitlines()[-1]
    assert said.startswith("20,000 rows in ")
    assert json.loads(said.partition("by label: ")[2]) == expected
    eventually(lambda: rows_metered(platform, own_key) == rows)
