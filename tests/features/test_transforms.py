"""The transforms, held to the kit and to scikit-learn's scalers."""

import itertools

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from aimass.core import plugins
from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.features.transforms import TRANSFORMS
from aimass.features.transforms.base import Transform
from aimass.features.transforms.min_max_scale import MinMaxScaleTransform
from aimass.features.transforms.picture_features import PictureFeaturesTransform
from aimass.features.transforms.standard_scale import StandardScaleTransform
from aimass.runtimes.conversion import check_conversion, to_onnx
from aimass.testing.transforms import TransformConformance

ORACLES = {StandardScaleTransform: StandardScaler, MinMaxScaleTransform: MinMaxScaler}


class TestStandardScale(TransformConformance):
    def make(self) -> Transform:
        return StandardScaleTransform()


class TestMinMaxScale(TransformConformance):
    def make(self) -> Transform:
        return MinMaxScaleTransform()


class TestPictureFeatures(TransformConformance):
    def make(self) -> Transform:
        return PictureFeaturesTransform()

    def rows(self, rows: int, seed: int) -> Array:
        return np.random.default_rng(seed).uniform(0, 16, (rows, 64)).astype(np.float32)


def test_every_transform_is_held_to_the_kit() -> None:
    held = {type(kit().make()) for kit in TransformConformance.__subclasses__()}
    assert {plugins.load(TRANSFORMS, key) for key in TRANSFORMS} <= held


@pytest.mark.parametrize("kind", ORACLES, ids=lambda kind: str(kind.__name__))
@pytest.mark.parametrize("load", [load_digits, load_wine])
def test_agrees_with_scikit_learn(kind: type[Transform], load: object) -> None:
    assert callable(load)
    rows = load(return_X_y=True)[0].astype(np.float32)
    oracle = ORACLES[kind]().fit(rows[:100].astype(np.float64))
    ours = kind().fit(rows[:100]).apply(rows)
    np.testing.assert_allclose(ours, oracle.transform(rows.astype(np.float64)), rtol=1e-4, atol=1e-4)


@given(seed=st.integers(0, 2**32 - 1), side=st.integers(2, 21))
def test_picture_features_are_what_they_say(seed: int, side: int) -> None:
    """Against whole numbers added up by numpy's integers, one picture at a time."""
    generator = np.random.default_rng(seed)
    rows = generator.uniform(0, 16, (5, side * side)).astype(np.float32)
    rows[0, 0] = 16
    transform = PictureFeaturesTransform().fit(rows)
    for row, found in zip(rows, transform.apply(rows), strict=True):
        ink = np.rint(row * np.float32(16)).astype(np.int64).reshape(side, side)
        cuts = [-(-at * side // min(4, side)) for at in range(min(4, side) + 1)]
        spans = [slice(*pair) for pair in itertools.pairwise(cuts)]
        parts = [ink[low, far] for low in spans for far in spans]
        at = 2 * np.arange(side) - side + 1
        moments = [at @ ink.sum(1), at @ ink.sum(0), at**2 @ ink.sum(1), at**2 @ ink.sum(0), at @ ink @ at]
        mirrored = [np.abs(ink - other).sum() for other in (ink[:, ::-1], ink[::-1], ink[::-1, ::-1])]
        steps = [*np.abs(np.diff(ink, axis=1)).sum(1), *np.abs(np.diff(ink, axis=0)).sum(0)]
        sums = [*ink.sum(1), *ink.sum(0), *(part.sum() for part in parts), ink.sum()]
        assert found.tolist() == [float(value) for value in (*sums, *moments, *mirrored, *steps)]


def test_trees_behind_picture_features_keep_their_answers() -> None:
    """The merged graph, thresholds and all, against scikit-learn: not one row flips."""
    rows, labels = load_digits(return_X_y=True)
    shaken = (rows + np.random.default_rng(3).uniform(0, 1, rows.shape)).astype(np.float32)
    transform = PictureFeaturesTransform().fit(shaken[:1000])
    seen = transform.apply(shaken)
    for trees in (RandomForestClassifier(20, random_state=0), HistGradientBoostingClassifier(max_iter=8)):
        trees.fit(seen[:1000], labels[:1000])
        check_conversion(trees, to_onnx(trees, "x", seen.shape[1]), seen[1000:])
        session = onnxruntime.InferenceSession(transform.to_onnx(), providers=["CPUExecutionProvider"])
        behind = onnxruntime.InferenceSession(to_onnx(trees, "x", seen.shape[1]), providers=["CPUExecutionProvider"])
        (features,) = session.run(["y"], {"x": shaken[1000:]})
        _, served = behind.run(None, {"x": features})
        np.testing.assert_allclose(served, trees.predict_proba(seen[1000:]), atol=1e-5)


@pytest.mark.parametrize("columns", [1, 2, 63, 22 * 22])
def test_pictures_that_it_cannot_describe_are_refused(columns: int) -> None:
    with pytest.raises(Invalid, match="picture_features"):
        PictureFeaturesTransform().fit(np.ones((3, columns), np.float32))
