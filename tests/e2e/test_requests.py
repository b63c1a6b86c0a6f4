"""On a real platform: every answer names its request, which can be looked at and answered again afterwards."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tritonclient.grpc as triton

from aimass.client import Client
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import aimass, eventually, scaling_document, told, write_scaling

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
ROWS = np.array([[1.5, -2.0], [0.1, 3.0]], np.float32)
KEPT = "payloads: {sample: 1, private: {encrypt: [x]}}\n"


def test_a_request_is_kept_traced_and_replayed(platform: RunningPlatform, tmp_path: Path) -> None:
    with platform.control() as control:
        numbers = [
            control.add_model("kept", write_scaling(tmp_path / f"{f}.onnx", f))["number"] for f in (3.0, 5.0, 7.0)
        ]
        control.deploy(scaling_document("kept", f"kept@{numbers[0]}") + KEPT)
    given = triton.InferInput("x", [2, 2], "FP32")
    given.set_data_from_numpy(ROWS)
    with Client(platform.url, platform.key) as client:
        answer = client.predict("kept", ROWS)
    with triton.InferenceServerClient(platform.file.grpc) as doors:
        doors.infer("kept", [given], headers={"authorization": f"Bearer {platform.key}"})
    assert answer.revision == 1
    with platform.control() as control:
        eventually(lambda: [day["calls"] for item in control.payloads("kept") for day in item["days"]] == [2])
    found = told(platform, "replay", answer.request_id)
    assert (found["how"], found["same"]) == ("sent to revision 1 again", {"y": "bits"})
    assert found["outputs"]["y"] == (ROWS * 3).tolist()
    assert [(node["name"], node["rows"]) for node in found["nodes"]] == [("scale", 2)]
    shown = aimass(platform, "trace", answer.request_id)
    assert shown.returncode == 0 and "kept revision 1" in shown.stdout and "total" in shown.stdout, shown.stdout
    assert ROWS.tobytes() not in b"".join(
        path.read_bytes() for path in (platform.home / "payloads").rglob("*") if path.is_file()
    )
    with platform.control() as control:
        for number in numbers[1:]:  # the first revision is not kept loaded any more
            control.deploy(scaling_document("kept", f"kept@{number}") + KEPT)
        eventually(lambda: not control.replay(answer.request_id)["is_loaded"])
    again = told(platform, "replay", answer.request_id)
    assert again["how"].startswith("run outside") and again["same"] == {"y": "bits"}
    written = told(platform, "payloads", "kept", "--export", str(tmp_path / "kept.parquet"))
    kept = pq.read_table(tmp_path / "kept.parquet").to_pylist()
    assert written["bytes"] > 0
    assert {"http", "grpc"} <= {row["protocol"] for row in kept} and answer.request_id in [
        r["request_id"] for r in kept
    ]
    for words, says in (
        (("replay", "none"), "no request 'none' is on record"),
        (("trace", "No Id"), "no request 'No Id' is on record"),
        (("payloads", "nobody"), "no service is named 'nobody'"),
    ):
        refused = aimass(platform, *words)
        assert refused.returncode == 1 and says in refused.stderr and len(refused.stderr.splitlines()) == 1
    told(platform, "payloads", "kept", "--clean")
    refused = aimass(platform, "replay", answer.request_id)
    assert refused.returncode == 1 and "not kept" in refused.stderr
