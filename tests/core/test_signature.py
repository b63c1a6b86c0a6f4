"""Batches against signatures: what fits passes with its rows, what does not is named."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.batch import concat, row_count, take
from aimass.core.errors import Invalid
from aimass.core.signature import NUMPY, Datatype, Picture, Signature, TensorSpec, datatype_of

SIGNATURE = Signature(
    inputs=(
        TensorSpec("image", Datatype.FP32, (-1, 4)),
        TensorSpec("mask", Datatype.BOOL, (-1, 2, -1)),
        TensorSpec("age", Datatype.FP64, (-1,), allow_missing=True),
    ),
    outputs=(TensorSpec("label", Datatype.INT64, (-1,)),),
)


def batch(rows: int = 3, **other: Any) -> dict[str, Any]:
    good = {
        "image": np.ones((rows, 4), np.float32),
        "mask": np.zeros((rows, 2, 5), np.bool_),
        "age": np.full(rows, np.nan),
    }
    return {**good, **other}


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_a_good_batch_has_its_rows(rows: int) -> None:
    assert SIGNATURE.check(batch(rows)) == rows == row_count(batch(rows))


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("image", np.ones((3, 4), np.float64), "datatype FP64, expected FP32"),
        ("image", np.ones((3, 5), np.float32), r"shape \[3, 5\], expected \[-1, 4\]"),
        ("image", np.ones(4, np.float32), r"shape \[4\], expected"),
        ("image", np.ones((3, 4, 1), np.float32), r"shape \[3, 4, 1\], expected"),
        ("image", np.full((3, 4), np.nan, np.float32), "NaN or infinity"),
        ("image", np.full((3, 4), -np.inf, np.float32), "NaN or infinity"),
        ("mask", np.zeros((2, 2, 1), np.bool_), "2 rows, the inputs before it have 3"),
        ("mask", np.zeros((3, 1, 1), np.bool_), r"expected \[-1, 2, -1\]"),
        ("age", np.array(["old"] * 3), "datatype BYTES, expected FP64"),
        ("weight", np.ones(3), "unknown input 'weight'; this model takes: age, image, mask"),
    ],
)
def test_what_does_not_fit_is_named(name: str, array: Any, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        SIGNATURE.check(batch(**{name: array}))
    assert caught.value.field == name


def test_missing_and_empty() -> None:
    without = batch()
    del without["mask"]
    with pytest.raises(Invalid, match="'mask' is missing; this model takes: image, mask, age"):
        SIGNATURE.check(without)
    with pytest.raises(Invalid, match="no rows"):
        SIGNATURE.check(batch(0))


specs = st.builds(
    TensorSpec,
    st.text(min_size=1, max_size=9),
    st.sampled_from(Datatype),
    st.lists(st.integers(-1, 9), max_size=3).map(lambda rest: (-1, *rest)),
    st.booleans(),
    st.none() | st.builds(Picture, st.integers(1, 9), st.integers(1, 9), ink=st.sampled_from(["dark", "light"])),
)


@given(st.lists(specs), st.lists(specs))
def test_survives_json(inputs: list[TensorSpec], outputs: list[TensorSpec]) -> None:
    signature = Signature(tuple(inputs), tuple(outputs))
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature


@given(specs, specs)
def test_accepting_means_every_batch_fits(ours: TensorSpec, theirs: TensorSpec) -> None:
    """Oracle: an array of their datatype and shape (free dimensions: a size nobody names) passes our check."""
    array = np.ones(
        [1 if size == -1 and not place else 13 if size == -1 else size for place, size in enumerate(theirs.shape)]
    )
    if array.size == 0:
        return
    single = Signature((ours,), ())
    try:
        single.check({ours.name: array.astype(NUMPY[theirs.datatype])})
        fits = True
    except Invalid:
        fits = False
    assert (ours.accepts(theirs) == "") == fits


@pytest.mark.parametrize("datatype", Datatype)
def test_datatypes_have_numpy_names(datatype: Datatype) -> None:
    assert datatype_of(NUMPY[datatype]) == datatype


def test_other_dtypes() -> None:
    assert datatype_of(np.dtype("<U7")) == datatype_of(np.dtype("S3")) == Datatype.BYTES
    with pytest.raises(Invalid, match="complex64"):
        datatype_of(np.dtype(np.complex64))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_rows_below_each_other_and_apart_again(sizes: list[int]) -> None:
    generator = np.random.default_rng(0)
    parts = [{"x": generator.random((size, 2)), "y": generator.random(size)} for size in sizes]
    whole = concat(parts)
    assert row_count(whole) == sum(sizes)
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        again = take(whole, start, start + size)
        assert all((again[name] == part[name]).all() for name in part)
        start += size
    assert row_count({}) == 0
