"""Versions in FP16: made of versions, proven, registered beside them; or refused, and nothing is kept."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from aimass.core.batch import Array
from aimass.core.errors import Invalid, NotFound
from aimass.core.ids import DEFAULT_ACCOUNT
from aimass.registry import versions
from aimass.registry.artifacts import checkout
from aimass.registry.submit import Submission, submit_file
from aimass.registry.variants.fp16 import CHECKED_ROWS, halve_version
from aimass.registry.versions import Version
from aimass.runtimes.conversion import to_onnx
from aimass.runtimes.half import LARGEST, TOLERANCE
from aimass.runtimes.onnx import MODEL_FILE, OnnxRuntime
from aimass.testing.registry import SmallRegistry
from tests.runtimes.test_half import network


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SmallRegistry]:
    small = SmallRegistry(tmp_path)
    yield small
    small.close()


def add(registry: SmallRegistry, folder: Path, model: bytes) -> Version:
    path = folder / "given.onnx"
    path.write_bytes(model)
    submission = Submission("net", path)
    return submit_file(registry.database, registry.store, submission, DEFAULT_ACCOUNT, registry.clock)


def halve(registry: SmallRegistry, number: int = 1, rows: Array | None = None) -> Version:
    owner = (DEFAULT_ACCOUNT, registry.clock)
    return halve_version(registry.database, registry.store, ("net", number), rows, owner)


def test_the_next_version_says_where_it_is_from_and_how_well_it_agrees(registry: SmallRegistry, tmp_path: Path) -> None:
    parent = add(registry, tmp_path, network())
    made = halve(registry)
    assert (made.ref, made.manifest.lineage.parents) == ("net@2", ("net@1",))
    assert made.manifest.signature == parent.manifest.signature
    assert 0 < made.manifest.metrics["agreement_max_difference"] < TOLERANCE
    assert made.manifest.metrics["agreement_rows"] == CHECKED_ROWS
    assert made.manifest.profile is not None
    sizes = [registry.store.size(version.manifest.files[MODEL_FILE]) for version in (parent, made)]
    assert sizes[1] < sizes[0]
    x = np.random.default_rng(5).standard_normal((20, 16)).astype(np.float32)
    whole, half = (
        OnnxRuntime.load(checkout(registry.store, version.manifest.files, tmp_path), parent.manifest.signature)
        for version in (parent, made)
    )
    np.testing.assert_allclose(half.predict({"x": x})["scores"], whole.predict({"x": x})["scores"], atol=0.05)
    with pytest.raises(Invalid, match="in FP16 already"):
        halve(registry, 2)


def test_rows_that_are_given_are_those_it_is_compared_on(registry: SmallRegistry, tmp_path: Path) -> None:
    add(registry, tmp_path, network())
    rows = np.random.default_rng(1).standard_normal((50, 16))
    assert halve(registry, rows=rows).manifest.metrics["agreement_rows"] == 50
    with pytest.raises(Invalid, match=r"shape \[50, 3\]; the model takes x \[-1, 16\]"):
        halve(registry, rows=rows[:, :3])
    with pytest.raises(Invalid, match="FP16 holds 65504"):
        halve(registry, rows=rows * LARGEST)


def test_what_gains_nothing_or_is_not_there_is_refused(registry: SmallRegistry, tmp_path: Path) -> None:
    forest = RandomForestClassifier(3, random_state=0).fit(*load_iris(return_X_y=True))
    add(registry, tmp_path, to_onnx(forest, "x", 4))
    with pytest.raises(Invalid, match="stay in FP32"):
        halve(registry)
    with pytest.raises(NotFound, match="versions of net: 1"):
        halve(registry, 7)
    registry.register("both", registry.ensemble("net@1"))
    owner = (DEFAULT_ACCOUNT, registry.clock)
    with pytest.raises(Invalid, match=r"both@1 has no model\.onnx"):
        halve_version(registry.database, registry.store, ("both", 1), None, owner)
    with registry.database.reading() as session:
        assert [version.ref for version in versions.list_versions(session, "net")] == ["net@1"]
