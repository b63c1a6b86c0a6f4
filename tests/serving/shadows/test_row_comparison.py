"""What two plans' outputs are said to have in common, against plain loops over the rows."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.core.signature import Datatype, TensorSpec
from aimass.serving.shadows.comparing import Comparer, Kind, kinds_of

LABEL = TensorSpec("label", Datatype.INT64, (-1,))
PROBABILITIES = TensorSpec("probabilities", Datatype.FP32, (-1, 3))
PRICE = TensorSpec("price", Datatype.FP64, (-1, 1))
VECTOR = TensorSpec("sentence_embedding", Datatype.FP32, (-1, 4))
scores = arrays.arrays(np.float32, (5, 3), elements=st.floats(-4, 4, width=32))
anything = arrays.arrays(np.float64, (4, 1), elements=st.floats(allow_nan=True, allow_infinity=True))


def test_kinds_are_read_off_the_signature() -> None:
    kinds = kinds_of(
        [LABEL, TensorSpec("out", Datatype.FP32, (-1, 10)), PRICE, TensorSpec("t", Datatype.BYTES, (-1, 1))]
    )
    assert kinds == {"label": Kind.LABEL, "out": Kind.SCORES, "price": Kind.FIGURE, "t": Kind.LABEL}
    assert kinds_of([VECTOR]) == {"sentence_embedding": Kind.VECTOR}, "without a label beside it, no class axis"
    assert kinds_of([PROBABILITIES]) == {"probabilities": Kind.SCORES}


def test_labels_agree_where_they_are_equal_and_probabilities_lie_as_far_apart_as_total_variation_says() -> None:
    primary = {"label": _ints([1, 2, 0]), "probabilities": _floats([[0, 1, 0], [0.25, 0.25, 0.5], [1, 0, 0]])}
    shadow = {"label": _ints([1, 0, 0]), "probabilities": _floats([[0, 1, 0], [0.5, 0.25, 0.25], [0.5, 0.5, 0]])}
    found = Comparer([LABEL, PROBABILITIES], [LABEL, PROBABILITIES]).compare(primary, shadow)
    assert found.agreed is not None and found.distance is not None
    assert found.agreed.tolist() == [True, False, True], "by the label, not by the scores beside it"
    assert found.distance.tolist() == [0, 0.25, 0.5]
    assert found.relative is None


@given(scores, scores)
def test_scores_without_a_label_agree_by_their_largest(a: Array, b: Array) -> None:
    spec = TensorSpec("logits", Datatype.FP32, (-1, 3))
    found = Comparer([spec], [spec]).compare({"logits": a}, {"logits": b})
    assert found.agreed is not None and found.distance is not None
    for row in range(5):
        left, right = a[row].tolist(), b[row].tolist()
        assert found.agreed[row] == (left.index(max(left)) == right.index(max(right)))
        assert found.distance[row] == pytest.approx(max(abs(x - y) for x, y in zip(left, right, strict=True)))


@given(anything, anything)
def test_figures_differ_absolutely_and_relatively_whatever_they_are(a: Array, b: Array) -> None:
    found = Comparer([PRICE], [PRICE]).compare({"price": a}, {"price": b})
    assert found.agreed is None and found.distance is not None and found.relative is not None
    for left, right, apart, part in zip(a[:, 0], b[:, 0], found.distance, found.relative, strict=True):
        if left == right or (np.isnan(left) and np.isnan(right)):
            assert (apart, part) == (0, 0)
        elif np.isfinite(left) and np.isfinite(right) and np.isfinite(left - right):
            assert apart == abs(left - right)
            assert part == pytest.approx(abs(left - right) / max(abs(left), abs(right)))
        else:
            assert (apart, part) == (np.inf, np.inf)


@given(scores)
def test_a_model_beside_itself_always_agrees(a: Array) -> None:
    batch = {"label": a.argmax(axis=1), "probabilities": a}
    found = Comparer([LABEL, PROBABILITIES], [LABEL, PROBABILITIES]).compare(batch, dict(batch))
    assert found.agreed is not None and found.agreed.all() and found.distance is not None and not found.distance.any()


def test_texts_are_labels_and_vectors_have_none() -> None:
    text = TensorSpec("text", Datatype.BYTES, (-1, 1))
    left, right = (np.array([[b"a"], [b"b"]], object), np.array([[b"a"], [b"c"]], object))
    found = Comparer([text], [text]).compare({"text": left}, {"text": right})
    assert found.agreed is not None and found.agreed.tolist() == [True, False] and found.distance is None
    vector = Comparer([VECTOR], [VECTOR]).compare(
        {"sentence_embedding": np.zeros((1, 4), np.float32)}, {"sentence_embedding": _floats([[0, -2, 1, 0]])}
    )
    assert vector.agreed is None and vector.distance is not None and vector.distance.tolist() == [2]


def test_only_what_both_have_is_compared() -> None:
    other = [TensorSpec("label", Datatype.INT32, (-1,)), TensorSpec("probabilities", Datatype.FP32, (-1, 4))]
    found = Comparer([LABEL, PROBABILITIES], other).compare(
        {"label": _ints([1]), "probabilities": _floats([[0, 1, 0]])},
        {"label": np.array([1], np.int32), "probabilities": _floats([[0, 1, 0, 0]])},
    )
    assert found.agreed is not None and found.agreed.all() and found.distance is None
    with pytest.raises(Invalid, match="nothing in common"):
        Comparer([VECTOR], [LABEL])
    with pytest.raises(Invalid, match="shape"):
        Comparer([LABEL], [LABEL]).compare({"label": _ints([1])}, {"label": _ints([1, 2])})


def _ints(values: Any) -> Array:
    return np.array(values, np.int64)


def _floats(values: Any) -> Array:
    return np.array(values, np.float32)
