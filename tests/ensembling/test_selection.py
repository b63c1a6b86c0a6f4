"""Greedy selection: its invariants under hypothesis, a second implementation, and cases worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.selection import combine_selected, select
from aimass.testing.combiners import probabilities


def accuracy(labels: Array, predicted: Array) -> float:
    return float((predicted.argmax(axis=1) == labels).mean())


def log_score(labels: Array, predicted: Array) -> float:
    return float(np.log(np.clip(predicted[np.arange(len(labels)), labels], 1e-7, 1)).mean())


SCORES = {"accuracy": accuracy, "log": log_score}


@given(
    members=st.integers(1, 6),
    rows=st.integers(1, 30),
    classes=st.integers(2, 4),
    rounds=st.integers(1, 12),
    score=st.sampled_from(sorted(SCORES)),
    max_members=st.none() | st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=150)
def test_never_below_the_best_member(  # noqa: PLR0917 one argument per strategy
    members: int, rows: int, classes: int, rounds: int, score: str, max_members: int | None, seed: int
) -> None:
    predictions = probabilities(members, rows, classes, seed)
    labels = np.random.default_rng(seed).integers(0, classes, rows)
    selection = select(predictions, labels, SCORES[score], rounds, max_members)
    assert selection.score >= max(SCORES[score](labels, member) for member in predictions)
    assert selection.score == SCORES[score](labels, combine_selected(predictions, selection.weights))
    assert selection.score == max(selection.history)
    assert len(selection.history) == rounds
    assert sum(selection.weights) == pytest.approx(1)
    assert len(selection.members) <= (max_members or members)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_agrees_with_the_textbook(seed: int) -> None:
    """A second implementation by running sums, as the paper writes it, on a score without ties."""
    predictions = probabilities(5, 40, 3, seed)
    labels = np.random.default_rng(seed).integers(0, 3, 40)
    total = np.zeros((40, 3))
    history = []
    for taken in range(1, 11):
        scores = [log_score(labels, (total + member) / taken) for member in predictions]
        total += predictions[int(np.argmax(scores))]
        history.append(max(scores))
    np.testing.assert_allclose(select(predictions, labels, log_score, 10).history, history, atol=1e-5)


def test_ties_go_to_members_already_in() -> None:
    """Model 1 is right alone; model 2 is its twin, and model 0 is useless: the twin never comes in."""
    right = np.array([[0.9, 0.1], [0.1, 0.9]], np.float32)
    wrong = right[::-1].copy()
    assert select([wrong, right, right.copy()], np.array([0, 1]), accuracy, 25).weights == (0.0, 1.0, 0.0)


def test_two_half_right_models_beat_either() -> None:
    """Each knows another class well and shrugs at the rest: the average knows both."""
    left = np.array([[0.9, 0.05, 0.05], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6]], np.float32)
    right = np.array([[0.4, 0.3, 0.3], [0.05, 0.9, 0.05], [0.3, 0.4, 0.3]], np.float32)
    selection = select([left, right], np.array([0, 1, 2]), accuracy, 25)
    assert accuracy(np.array([0, 1, 2]), left) == pytest.approx(2 / 3)
    assert (selection.score, selection.members) == (1.0, (0, 1))


def test_nothing_to_select_from_is_refused() -> None:
    with pytest.raises(Invalid):
        select([], np.array([0]), accuracy)
    with pytest.raises(Invalid, match="rounds"):
        select(probabilities(1, 2, 2, 0), np.array([0, 1]), accuracy, 0)
