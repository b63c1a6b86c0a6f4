"""Files that somebody already has: converted, proven, profiled, registered; or refused, and nothing is kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from aimass.core.errors import Invalid
from aimass.core.ids import DEFAULT_ACCOUNT
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.registry import catalog, versions
from aimass.registry.artifacts import checkout
from aimass.registry.child import run_child
from aimass.registry.manifest import Profile
from aimass.registry.profiler import BATCHES, describe_machine, profile, profile_callable
from aimass.registry.submit import Submission, submit_file
from aimass.registry.versions import Version
from aimass.runtimes.conversion import to_onnx
from aimass.runtimes.onnx import OnnxRuntime
from aimass.testing.registry import SIGNATURE, SmallRegistry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SmallRegistry]:
    small = SmallRegistry(tmp_path)
    yield small
    small.close()


def submit(registry: SmallRegistry, path: Path, rows: Any = None) -> Version:
    submission = Submission("given", path, description="by hand", rows=rows)
    return submit_file(registry.database, registry.store, submission, DEFAULT_ACCOUNT, registry.clock)


def nothing_is_kept(registry: SmallRegistry) -> bool:
    with registry.database.reading() as session:
        return not catalog.list_models(session) and not list(registry.store.digests())


def write_graph(path: Path, shape: list[Any], weights: Any = None) -> None:
    """y = 2 · x, or what else the weights say."""
    factor = numpy_helper.from_array(np.float32(2), "factor") if weights is None else weights
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [factor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def test_a_skops_file_answers_as_scikit_learn(registry: SmallRegistry, tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    estimator = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(x, y)
    skops.io.dump(estimator, tmp_path / "iris.skops")
    version = submit(registry, tmp_path / "iris.skops", x)
    assert version.manifest.signature == SIGNATURE
    assert version.manifest.kind == "model"
    assert version.manifest.metrics["conversion_rows"] == 150
    assert version.manifest.metrics["conversion_max_difference"] < 1e-5
    assert version.manifest.lineage.packages["scikit-learn"]
    with registry.database.reading() as session:
        again = versions.get(session, "given", 1)
    assert again == version
    folder = checkout(registry.store, again.manifest.files, tmp_path / "cache")
    answer = OnnxRuntime.load(folder, again.manifest.signature).predict({"x": x.astype(np.float32)})
    np.testing.assert_allclose(answer["probabilities"], estimator.predict_proba(x), atol=1e-5)
    np.testing.assert_array_equal(answer["label"], estimator.predict(x))


@pytest.mark.parametrize(
    ("estimator", "kind", "output"),
    [(StandardScaler(), "transform", "y"), (LinearRegression(), "model", "value")],
    ids=["transform", "regressor"],
)
def test_other_estimators_too(registry: SmallRegistry, tmp_path: Path, estimator: Any, kind: str, output: str) -> None:
    skops.io.dump(estimator.fit(*load_iris(return_X_y=True)), tmp_path / "it.skops")
    manifest = submit(registry, tmp_path / "it.skops").manifest
    assert (manifest.kind, [spec.name for spec in manifest.signature.outputs]) == (kind, [output])


def test_a_conversion_that_disagrees_is_refused_with_figures(registry: SmallRegistry, tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    estimator = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0)).fit(x[:900], y[:900])
    skops.io.dump(estimator, tmp_path / "digits.skops")
    with pytest.raises(Invalid, match=r"disagrees with scikit-learn on \d+ of 1921 rows .* worst difference 0\.\d+"):
        submit(registry, tmp_path / "digits.skops", x[900:])
    assert nothing_is_kept(registry)


def test_what_fp32_loses_of_the_rows_counts_as_a_disagreement(registry: SmallRegistry, tmp_path: Path) -> None:
    """Features around 1e7 lie one FP32 step apart; scikit-learn has scaled them in double precision."""
    x, y = load_iris(return_X_y=True)
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(x + 1e7, y)
    skops.io.dump(estimator, tmp_path / "far.skops")
    with pytest.raises(Invalid, match=r"disagrees .* labels differ; FP32 cannot tell some of these values apart"):
        submit(registry, tmp_path / "far.skops", x + 1e7)
    with pytest.raises(Invalid, match="disagrees"):
        submit(registry, tmp_path / "far.skops")
    assert nothing_is_kept(registry)


def test_types_that_nobody_trusts_are_refused(registry: SmallRegistry, tmp_path: Path) -> None:
    import os

    skops.io.dump(FunctionTransformer(os.system), tmp_path / "evil.skops")
    with pytest.raises(Invalid, match=r"untrusted types: .*system"):
        submit(registry, tmp_path / "evil.skops")
    assert nothing_is_kept(registry)


@pytest.mark.parametrize("rows", [np.zeros((3, 5)), np.zeros((0, 4)), np.zeros(4)])
def test_rows_to_check_on_must_fit(registry: SmallRegistry, tmp_path: Path, rows: Any) -> None:
    skops.io.dump(LogisticRegression().fit([[0, 0, 0, 0], [1, 1, 1, 1]], [0, 1]), tmp_path / "it.skops")
    with pytest.raises(Invalid, match=r"expected \[rows, 4\]"):
        submit(registry, tmp_path / "it.skops", rows)


def test_an_onnx_file_is_taken_as_it_is(registry: SmallRegistry, tmp_path: Path) -> None:
    write_graph(tmp_path / "double.onnx", [None, 2])
    manifest = submit(registry, tmp_path / "double.onnx").manifest
    assert manifest.signature == Signature(
        (TensorSpec("x", Datatype.FP32, (-1, 2)),), (TensorSpec("y", Datatype.FP32, (-1, 2)),)
    )
    assert registry.store.get(manifest.files["model.onnx"]) == (tmp_path / "double.onnx").read_bytes()
    assert manifest.profile is not None
    assert manifest.description == "by hand"


def test_rows_to_check_on_are_refused_where_nothing_is_checked(registry: SmallRegistry, tmp_path: Path) -> None:
    write_graph(tmp_path / "double.onnx", [None, 2])
    with pytest.raises(Invalid, match="taken as it is") as caught:
        submit(registry, tmp_path / "double.onnx", np.zeros((3, 7)))
    assert caught.value.field == "check"
    assert nothing_is_kept(registry)


def test_bad_files_are_refused_by_name(registry: SmallRegistry, tmp_path: Path) -> None:
    write_graph(tmp_path / "fixed.onnx", [1, 2])
    outside = numpy_helper.from_array(np.float32(2), "factor")
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="/etc/passwd")
    write_graph(tmp_path / "outside.onnx", [None, 2], outside)
    (tmp_path / "noise.onnx").write_bytes(b"\xff" * 100)
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "noise.skops").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "model.pkl").touch()
    for name, words in (
        ("fixed.onnx", "dynamic batch"),
        ("outside.onnx", r"outside\.onnx"),
        ("noise.onnx", r"noise\.onnx is not a valid ONNX"),
        ("empty.onnx", r"empty\.onnx is not a valid ONNX"),
        ("noise.skops", r"noise\.skops is not a skops file"),
        ("model.pkl", r"only \.onnx and \.skops"),
        ("absent.onnx", "does not exist"),
    ):
        with pytest.raises(Invalid, match=words):
            submit(registry, tmp_path / name)
    assert nothing_is_kept(registry)


def test_a_profile_says_what_was_measured_here(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    forest = RandomForestClassifier(50, random_state=0).fit(x, y)
    (tmp_path / "model.onnx").write_bytes(to_onnx(forest, "x", 4))
    measured = profile(tmp_path, "onnx", SIGNATURE)
    assert Profile.from_json(json.loads(json.dumps(measured.to_json()))) == measured
    assert set(measured.times_us) == set(measured.p95_us) == set(BATCHES)
    assert all(0 < measured.times_us[rows] <= measured.p95_us[rows] for rows in BATCHES)
    assert measured.times_us[128] > measured.times_us[1]
    assert measured.memory_bytes > 0
    assert measured.machine == describe_machine()


def test_profiling_what_does_not_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"model\.onnx does not exist"):
        profile(tmp_path, "onnx", SIGNATURE)
    with pytest.raises(Invalid, match="known: onnx"):
        profile(tmp_path, "oracle", SIGNATURE)
    with pytest.raises(Invalid, match=r"'label' has shape \[7\] for 1 rows"):
        profile_callable(lambda _: {"label": np.zeros(7)}, SIGNATURE, 0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "crashed .*signal 11"),
        ("import sys\nsys.exit('it\\nis wrong')", "^is wrong$"),
        ("1 / 0", "^ZeroDivisionError"),
        ("", "said nothing"),
    ],
)
def test_a_child_that_fails_takes_nobody_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    (tmp_path / "crashing.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(Invalid, match=words):
        run_child("crashing")
