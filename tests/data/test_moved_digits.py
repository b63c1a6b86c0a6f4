"""Moved digits: what moves them agrees with scipy, a seed says all, and originals stay on one side of a split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from aimass.core.errors import Invalid
from aimass.data.moved_digits import load_moved_digits, move
from aimass.data.sources import load_bundled
from aimass.data.split import folds, split

DIGITS = load_bundled("digits")


@given(seed=st.integers(0, 2**32 - 1), side=st.integers(2, 9))
def test_moving_is_what_scipy_does(seed: int, side: int) -> None:
    generator = np.random.default_rng(seed)
    pictures = generator.uniform(0, 16, (4, side, side))
    shifts, turns = generator.uniform(-2, 2, (4, 2)), generator.uniform(-1, 1, 4)
    centre = (side - 1) / 2
    for moved, picture, shift, turn in zip(move(pictures, shifts, turns), pictures, shifts, turns, strict=True):
        turning = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        offset = centre - turning @ (centre + shift)
        wanted = ndimage.affine_transform(picture, turning, offset, order=1, mode="grid-constant")
        np.testing.assert_allclose(moved, wanted, atol=1e-9)


def test_the_same_seed_gives_the_same_pictures() -> None:
    first, again, other = load_moved_digits(2000, 7), load_moved_digits(2000, 7), load_moved_digits(2000, 8)
    assert first.digest == again.digest != other.digest
    assert first.rows.shape == (2000, 64)
    assert 0 <= first.rows.min() < first.rows.max() <= 16
    assert first.classes == tuple(range(10))


def test_a_picture_is_of_its_original() -> None:
    made = load_moved_digits(4000, 1)
    assert made.groups is not None
    assert (DIGITS.labels[made.groups] == made.labels).all()
    copies = np.bincount(made.groups, minlength=len(DIGITS.rows))
    assert set(copies) == {2, 3}
    distance = np.abs(made.rows - DIGITS.rows[made.groups]).mean(axis=1)
    strangers = np.abs(made.rows - DIGITS.rows[np.roll(made.groups, 1)]).mean(axis=1)
    assert 0.5 < distance.mean() < strangers.mean() / 1.3


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(400, 2500))
def test_no_original_is_on_both_sides(seed: int, rows: int) -> None:
    made = load_moved_digits(rows, seed)
    parts = split(made, 0.25, seed)
    train, test = made.part(parts.train), made.part(parts.test)
    assert train.groups is not None
    assert test.groups is not None
    assert not set(train.groups) & set(test.groups)
    assert len(test.rows) == pytest.approx(rows / 4, rel=0.2)
    for fold in folds(train, 3, seed):
        assert not set(train.groups[fold.fit]) & set(train.groups[fold.predict])


@pytest.mark.parametrize("rows", [-1, 0, 99, 1_000_001])
def test_odd_numbers_of_rows_are_refused(rows: int) -> None:
    with pytest.raises(Invalid, match="100 to 1,000,000 rows"):
        load_moved_digits(rows, 0)
