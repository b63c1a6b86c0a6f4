"""Padding: to the next bucket and back, proven on made-up rows not to change an answer, refused where it does."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.batch import Batch
from aimass.core.errors import Invalid, Unavailable
from aimass.core.signature import Datatype, Ragged, TensorSpec
from aimass.serving.batching.padding import Padding, learn_padding
from aimass.serving.loader import LoadedPlan, load
from tests.serving.text_models import (
    BUCKETS,
    INPUTS,
    RAGGED,
    checkout_of,
    expected,
    sentence,
    text_layout,
    text_model,
)


def loaded(folder: Path, heeds_mask: bool = True) -> LoadedPlan:
    model = text_model(heeds_mask)
    return load(text_layout(model), lambda files: checkout_of(model, folder))


def learnt(plan: LoadedPlan) -> Padding:
    async def run(batch: Batch) -> Batch:
        return plan.run(batch)

    padding = asyncio.run(learn_padding(INPUTS, run))
    assert padding is not None
    return padding


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> LoadedPlan:
    return loaded(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def padding(plan: LoadedPlan) -> Padding:
    return learnt(plan)


@given(length=st.integers(1, 40), rows=st.integers(1, 4), seed=st.integers(0, 99))
def test_no_answer_changes_and_all_lengths_of_a_bucket_fit_together(
    plan: LoadedPlan, padding: Padding, length: int, rows: int, seed: int
) -> None:
    batch = sentence(length, rows, seed)
    padded, was = padding.pad(batch)
    bucket = next((size for size in BUCKETS if size >= length), length)
    assert {array.shape for array in padded.values()} == {(rows, bucket)}
    assert was == (0 if bucket == length else length)
    outputs = plan.run(padded)
    answer = padding.cut(outputs, was) if was else outputs
    for name, array in expected(batch).items():
        assert answer[name].shape == array.shape
        np.testing.assert_allclose(answer[name], array, rtol=1e-4, atol=1e-5)


def test_a_model_that_heeds_no_mask_is_refused_with_the_figures(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"from length 1 to 4 changes output 'embedding' by up to [0-9.]+; a model that"):
        learnt(loaded(tmp_path, heeds_mask=False))


def test_what_is_not_ragged_needs_no_padding() -> None:
    async def run(batch: Batch) -> Batch:
        raise AssertionError("nothing to try")

    plain = [replace(spec, ragged=None) for spec in INPUTS]
    assert asyncio.run(learn_padding(plain, run)) is None


def test_inputs_of_one_request_have_one_length(padding: Padding) -> None:
    batch = {**sentence(5, 1, 0), "mask": np.ones((1, 6), np.int64)}
    with pytest.raises(Invalid, match="'mask' has length 6, 'ids' has 5") as caught:
        padding.pad(batch)
    assert caught.value.field == "mask"


def test_other_axes_other_values_and_inputs_that_are_not_ragged() -> None:
    sound = TensorSpec("sound", Datatype.FP32, (-1, 2, -1), ragged=Ragged(2, (4,), -1.5))
    pitch = TensorSpec("pitch", Datatype.FP32, (-1, 3))
    padding = Padding([pitch, sound], {"wave": (2,), "kind": ()})
    batch = {"pitch": np.ones((1, 3), np.float32), "sound": np.ones((1, 2, 3), np.float32)}
    padded, length = padding.pad(batch)
    assert padded["pitch"] is batch["pitch"]
    np.testing.assert_array_equal(padded["sound"], [[[1, 1, 1, -1.5]] * 2])
    outputs = {"wave": np.arange(8.0).reshape(1, 2, 4), "kind": np.arange(4).reshape(1, 4)}
    cut = padding.cut(outputs, length)
    np.testing.assert_array_equal(cut["wave"], [[[0, 1, 2], [4, 5, 6]]])
    assert cut["kind"].shape == (1, 4), "of a fixed size that a bucket happens to have"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda ids: {"n": (ids * 0 + ids.shape[1]).sum(1)}, "changes output 'n' in 2 of 2 values"),
        (lambda ids: {"n": np.repeat(ids, 2, axis=1)}, r"gives output 'n' the shape \[2, 8\], not \[2, 2\]"),
        (lambda ids: {"n": ids[:, : min(ids.shape[1], 5)]}, "the shape|at some lengths only"),
    ],
)
def test_answers_that_depend_on_the_length_are_refused(answer: object, says: str) -> None:
    async def run(batch: Batch) -> Batch:
        return answer(batch["ids"])  # type: ignore[operator, no-any-return]

    with pytest.raises(Invalid, match=says):
        asyncio.run(learn_padding([TensorSpec("ids", Datatype.INT64, (-1, -1), ragged=RAGGED)], run))


def test_an_error_of_the_model_itself_passes_through() -> None:
    async def run(batch: Batch) -> Batch:
        raise Unavailable("no")

    with pytest.raises(Unavailable):
        asyncio.run(learn_padding(INPUTS, run))
