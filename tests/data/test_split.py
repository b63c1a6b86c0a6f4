"""Splits: every row once, every class in proportion, the same seed the same split."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.errors import Invalid
from aimass.data.sources import load_bundled
from aimass.data.split import folds, split

IRIS = load_bundled("iris")


@given(seed=st.integers(0, 2**32 - 1), test=st.sampled_from([0.1, 0.2, 0.5]))
def test_split_is_a_partition_in_proportion(seed: int, test: float) -> None:
    parts = split(IRIS, test, seed)
    assert sorted([*parts.train, *parts.test]) == list(range(150))
    assert np.bincount(IRIS.labels[parts.test]).tolist() == [round(50 * test)] * 3
    again = split(IRIS, test, seed)
    assert (again.train == parts.train).all()


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 10))
def test_folds_predict_every_row_once(seed: int, count: int) -> None:
    made = folds(IRIS.labels, count, seed, IRIS.classes)
    assert len(made) == count
    assert sorted(np.concatenate([fold.predict for fold in made])) == list(range(150))
    for fold in made:
        assert not set(fold.fit) & set(fold.predict)
        assert len(set(IRIS.labels[fold.fit])) == 3


def test_too_rare_a_class_is_named() -> None:
    labels = np.array([0] * 10 + [1] * 2)
    with pytest.raises(Invalid, match="'b' has 2 training rows") as caught:
        folds(labels, 3, 0, ("a", "b"))
    assert caught.value.field == "split.folds"


def test_a_class_of_one_row_cannot_be_split() -> None:
    labels = np.zeros(150, np.int64)
    labels[0] = 1
    with pytest.raises(Invalid, match="iris cannot be split"):
        split(replace(IRIS, labels=labels), 0.2, 0)
