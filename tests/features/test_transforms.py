"""The transforms, held to the kit and to scikit-learn's scalers."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from aimass.core import plugins
from aimass.features.transforms import TRANSFORMS
from aimass.features.transforms.base import Transform
from aimass.features.transforms.min_max_scale import MinMaxScaleTransform
from aimass.features.transforms.standard_scale import StandardScaleTransform
from aimass.testing.transforms import TransformConformance

ORACLES = {StandardScaleTransform: StandardScaler, MinMaxScaleTransform: MinMaxScaler}


class TestStandardScale(TransformConformance):
    def make(self) -> Transform:
        return StandardScaleTransform()


class TestMinMaxScale(TransformConformance):
    def make(self) -> Transform:
        return MinMaxScaleTransform()


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
