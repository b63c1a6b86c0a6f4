"""Splits: every row once, every class in proportion, the same seed the same split."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.errors import Invalid
from aimass.data.dataset import Dataset
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
    made = folds(IRIS, count, seed)
    assert len(made) == count
    assert sorted(np.concatenate([fold.predict for fold in made])) == list(range(150))
    for fold in made:
        assert not set(fold.fit) & set(fold.predict)
        assert len(set(IRIS.labels[fold.fit])) == 3


def test_too_rare_a_class_is_named() -> None:
    labels = np.array([0] * 10 + [1] * 2)
    rare = replace(IRIS, rows=IRIS.rows[:12], labels=labels, classes=("a", "b"))
    with pytest.raises(Invalid, match="'b' has 2 training rows") as caught:
        folds(rare, 3, 0)
    assert caught.value.field == "split.folds"


def test_a_class_of_one_row_cannot_be_split() -> None:
    labels = np.zeros(150, np.int64)
    labels[0] = 1
    with pytest.raises(Invalid, match="iris cannot be split"):
        split(replace(IRIS, labels=labels), 0.2, 0)


@given(seed=st.integers(0, 2**32 - 1), data=st.data())
def test_no_group_is_on_both_sides(seed: int, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=24, max_size=40))
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = np.arange(len(groups))
    made_of = Dataset("g", rows[:, None].astype(np.float32), groups % 3, (0, 1, 2), ("x",), groups=groups * 7)
    parts = split(made_of, 0.25, seed)
    train = made_of.part(parts.train)
    assert sorted([*parts.train, *parts.test]) == rows.tolist()
    assert train.groups is not None
    assert not set(train.groups) & set(made_of.part(parts.test).groups)  # type: ignore[arg-type]
    assert abs(len(set(train.groups)) - 0.75 * len(sizes)) < 3
    seen = []
    for fold in folds(train, 3, seed):
        assert not set(train.groups[fold.fit]) & set(train.groups[fold.predict])
        assert sorted([*fold.fit, *fold.predict]) == list(range(len(train.rows)))
        seen.append(fold.predict)
    assert sorted(np.concatenate(seen)) == list(range(len(train.rows)))


def test_a_group_of_two_classes_is_refused() -> None:
    groups = np.arange(150) // 2
    with pytest.raises(Invalid, match="one class"):
        split(replace(IRIS, groups=np.roll(groups, 1)), 0.2, 0)
    with pytest.raises(Invalid, match="groups of 3"):
        replace(IRIS, groups=groups[:3])


def test_too_few_groups_are_named() -> None:
    with pytest.raises(Invalid, match="0 has 5 groups of training rows, fewer than 6 folds"):
        folds(replace(IRIS, groups=np.arange(150) // 10), 6, 0)
