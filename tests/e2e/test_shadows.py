"""A second revision, and a model beside a node, look on at real calls: by the command line, and compared by hand."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from aimass.client import Client
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import aimass, eventually

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

DOCUMENT = """
service: looked-at
graph:
  inputs: {{x: {{datatype: FP32, shape: [-1, 4]}}}}
  nodes: {{flower: {{model: flower@{version}, inputs: {{x: $in.x}}}}}}
  outputs: {{label: flower.label, probabilities: flower.probabilities}}
"""


def _write_model(path: Path, strength: float) -> Path:
    """Logistic regression on iris; the weaker it is regularised, the more certain."""
    rows, labels = load_iris(return_X_y=True)
    fitted = LogisticRegression(C=strength, max_iter=2000).fit(rows, labels)
    names = {"w": fitted.coef_.T.astype(np.float32), "b": fitted.intercept_.astype(np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"]),
            helper.make_node("Add", ["product", "b"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
        ],
        "flower",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 3]),
        ],
        [
            helper.make_tensor(name, TensorProto.FLOAT, value.shape, value.tobytes(), raw=True)
            for name, value in names.items()
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_shadows_agree_as_often_as_the_two_models_answers_do(platform: RunningPlatform, tmp_path: Path) -> None:
    def shadow(*words: str) -> Any:
        done = aimass(platform, "shadow", "looked-at", *words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def seen(name: str) -> dict[str, Any]:
        with platform.control() as control:
            shown = control.shadows("looked-at")["shadows"]
        found: dict[str, Any] = next(item for item in shown if item["shadow"] == name)
        return found

    rows = load_iris().data.astype(np.float32)
    with platform.control() as control:
        for version, strength in ((1, 0.005), (2, 100.0)):
            control.add_model("flower", _write_model(tmp_path / f"{version}.onnx", strength))
            control.deploy(DOCUMENT.format(version=version))
        assert control.rollback("looked-at")["revision"] == 1
    with Client(platform.url, platform.key) as client:
        assert shadow("2", "--share", "100")["message"] == "shadow 2 runs 100 % of the calls of looked-at"
        assert shadow("--node", "flower", "--model", "flower@2", "--share", "100")["shadow"] == "flower=flower@2"
        theirs = client.predict("looked-at", rows, revision=2)

        def compared(name: str) -> bool:
            ours = client.predict("looked-at", rows)  # one that a busy machine dropped is followed by another
            assert ours.revision == 1
            return bool(seen(name)["calls"])

        for name in ("2", "flower=flower@2"):
            eventually(partial(compared, name))
        ours = client.predict("looked-at", rows)
    agreed = float((ours["label"] == theirs["label"]).mean())
    apart = np.abs(ours["probabilities"].astype(np.float64) - theirs["probabilities"]).sum(axis=1) / 2
    assert 0.5 < agreed < 1, "two models that differ, or nothing would be shown"
    for name in ("2", "flower=flower@2"):
        found = seen(name)
        assert (found["revision"], found["errors"], found["reason"], found["ready"]) == (1, 0, None, 1)
        assert found["agreement"] == pytest.approx(agreed, abs=1e-12)
        assert found["agreement_low"] < agreed < found["agreement_high"]
        assert found["distance_mean"] == pytest.approx(float(apart.mean()), rel=1e-4)
        assert found["alone"]["shadow"]["cpu_ms_per_row"] > 0 and found["alone"]["primary"]["p50_ms"] > 0
    page = tmp_path / "shadows.html"
    table = aimass(platform, "shadow", "looked-at", "--html", str(page))
    assert f"{100 * agreed:.2f} %" in table.stdout and page.read_text().count("<figure") == 3
    assert [item["share"] for item in shadow("--off")] == [0, 0]
    refused = aimass(platform, "shadow", "looked-at", "1", "--share", "10")
    assert refused.returncode == 1 and "nothing shadows itself" in refused.stderr
