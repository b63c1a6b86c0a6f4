"""Cascades over arrays: against every threshold tried one by one, arithmetic by hand, and scipy."""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.cascades.cascade import Cascade, known
from aimass.ensembling.cascades.confidence import confidence, fit_temperature
from aimass.ensembling.cascades.design import design
from aimass.ensembling.cascades.surface import Surface, cuts
from aimass.testing.combiners import probabilities

COSTS = (1.0, 4.0, 20.0, 90.0)


def prices(chain: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(COSTS[index] for index in chain)


def hits(given: Array, labels: Array) -> Array:
    found: Array = (given.argmax(axis=1) == labels).astype(np.float64)
    return found


def one_by_one(
    predictions: Sequence[Array], labels: Array, costs: Sequence[float], heats: Sequence[float], thresholds: Array
) -> tuple[float, float]:
    """Mean hits and mean cost, row after row in plain Python."""
    right, cost = 0, 0.0
    for row, label in enumerate(labels):
        for member, answers in enumerate(predictions):
            cost += costs[member]
            chances = answers[row].astype(np.float64)
            last = member == len(predictions) - 1
            if last or (heated := chances ** (1 / heats[member])).max() / heated.sum() >= thresholds[member]:
                right += int(chances.argmax() == label)
                break
    return right / len(labels), cost / len(labels)


def test_a_cascade_by_hand() -> None:
    """Row 0 is sure at once, row 1 at the second member, row 2 never; the third member is asked for row 2 alone."""
    answers = [
        np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]], np.float32),
        np.array([[0.0, 1.0], [0.2, 0.8], [0.3, 0.7]], np.float32),
        np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]], np.float32),
    ]
    asked: list[tuple[int, list[int] | None]] = []

    def ask(member: int, rows: Array | None) -> Array:
        asked.append((member, None if rows is None else rows.tolist()))
        return answers[member] if rows is None else answers[member][rows]

    answered = Cascade((1.0, 1.0), (0.9, 0.75)).answer(ask)
    assert answered.member.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(answered.probabilities, np.array([[0.9, 0.1], [0.2, 0.8], [1.0, 0.0]], np.float32))
    assert asked == [(0, None), (1, [1, 2]), (2, [2])]


def test_nobody_is_asked_for_no_row() -> None:
    sure = np.array([[1.0, 0.0]], np.float32)
    answered = Cascade((1.0, 2.0), (0.5, 0.5)).answer(known([sure]))
    assert answered.member.tolist() == [0]


def test_a_row_of_no_numbers_goes_on() -> None:
    broken, right = np.full((1, 2), np.nan, np.float32), np.array([[1.0, 0.0]], np.float32)
    assert Cascade((1.0,), (0.1,)).answer(known([broken, right])).member.tolist() == [1]
    surface = Surface([confidence(broken, 1.0)], [np.zeros(1), np.ones(1)], (1.0, 2.0))
    assert surface.cheapest(1.0).cost == 3.0


@given(seed=st.integers(0, 2**32 - 1), heat=st.floats(0.3, 4.0))
def test_temperature_is_the_one_that_scipy_finds(seed: int, heat: float) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (300, 4))
    drawn = np.exp(log_softmax(logits, axis=1))
    labels = (drawn.cumsum(axis=1) < generator.random((300, 1))).sum(axis=1).clip(0, 3)
    told = np.exp(log_softmax(logits / heat, axis=1)).astype(np.float32)  # too sure or too shy by `heat`
    logs = np.log(told.clip(np.finfo(np.float32).eps, 1).astype(np.float64))

    def surprise(power: float) -> float:
        return -float(log_softmax(power * logs, axis=1)[np.arange(300), labels].mean())

    best = minimize_scalar(surprise, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    assert 1 / fit_temperature(told, labels) == pytest.approx(best.x, rel=1e-3)


def test_temperature_of_a_model_that_is_always_right_is_the_coldest() -> None:
    told = np.array([[0.6, 0.4], [0.4, 0.6]], np.float32)
    assert fit_temperature(told, np.array([0, 1])) == 0.05
    assert fit_temperature(told, np.array([1, 0])) == 20.0


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 12), members=st.integers(2, 3))
def test_the_surface_is_every_threshold_tried_one_by_one(seed: int, rows: int, members: int) -> None:
    predictions = probabilities(members, rows, 3, seed)
    labels = np.random.default_rng(seed).integers(0, 3, rows)
    sure = [given.max(axis=1) for given in predictions[:-1]]
    gains = [hits(given, labels) for given in predictions]
    surface = Surface(sure, gains, COSTS[:members])
    tried = [
        one_by_one(predictions, labels, COSTS, (1.0,) * members, np.array(thresholds))
        for thresholds in product(*(cuts(one, 100) for one in sure))
    ]
    floor = max(gain.mean() for gain in gains)
    enough = [cost for score, cost in tried if score >= floor - 1e-9]
    found = surface.cheapest(floor)
    if enough:
        assert found.cost == pytest.approx(min(enough))
        assert found.reaches(floor)
    else:
        assert found.score == pytest.approx(max(score for score, _ in tried))
    for point in surface.frontier(1000):
        score, cost = one_by_one(predictions, labels, COSTS, (1.0,) * members, np.array(point.thresholds))
        assert point.score == pytest.approx(score)
        assert point.cost == pytest.approx(cost)
        assert not any(more > score + 1e-9 and less <= cost + 1e-9 for more, less in tried)
        answered = Cascade((1.0,) * (members - 1), point.thresholds).answer(known(predictions))
        assert hits(answered.probabilities, labels).mean() == pytest.approx(score)
        assert np.cumsum(COSTS[:members])[answered.member].mean() == pytest.approx(cost)


@given(seed=st.integers(0, 2**32 - 1), most=st.integers(2, 4))
def test_design_finds_the_cheapest_chain_that_is_good_enough(seed: int, most: int) -> None:
    """Against every chain and every threshold, tried one by one."""
    predictions = probabilities(4, 6, 3, seed)
    labels = np.random.default_rng(seed).integers(0, 3, 6)
    gains = [hits(given, labels) for given in predictions]
    made = design(predictions, labels, gains, prices, most)
    heats = [fit_temperature(given, labels) for given in predictions]
    floor = max(gain.mean() for gain in gains)
    assert (made.floor, gains[made.best].mean()) == (floor, floor)
    tried = []
    for size in range(2, most + 1):
        for chain in combinations(range(4), size):
            members = [predictions[index] for index in chain]
            warm = [heats[index] for index in chain]
            grid = [cuts(confidence(given, heat), 100) for given, heat in zip(members[:-1], warm[:-1], strict=True)]
            tried += [one_by_one(members, labels, prices(chain), warm, np.array(at)) for at in product(*grid)]
    enough = [cost for score, cost in tried if score >= floor - 1e-9]
    if enough:
        assert made.point.reaches(floor)
        assert made.point.cost == pytest.approx(min(enough))
    else:
        assert made.point.score == pytest.approx(max(score for score, _ in tried))
    answered = made.cascade.answer(known([predictions[index] for index in made.members]))
    assert hits(answered.probabilities, labels).mean() == pytest.approx(made.point.score)
    assert np.cumsum(made.prices)[answered.member].mean() == pytest.approx(made.point.cost)


def test_three_sizes_by_hand() -> None:
    """100 rows: the cheapest is right in 60 and knows it, the second in 30 of the rest, the dearest always."""
    labels = np.zeros(100, np.int64)
    sure, shy = np.array([0.99, 0.01], np.float32), np.array([0.45, 0.55], np.float32)
    small = np.array([sure] * 60 + [shy] * 40)
    middle = np.array([sure] * 90 + [shy] * 10)
    large = np.array([sure] * 100)
    gains = [hits(given, labels) for given in (large, small, middle)]
    made = design([large, small, middle], labels, gains, lambda chain: tuple((90.0, 1.0, 5.0)[one] for one in chain))
    assert made.members == (1, 2, 0)
    assert made.best == 0
    assert made.point.score == pytest.approx(1.0)
    assert made.point.cost == pytest.approx(1 + 0.4 * 5 + 0.1 * 90)
    assert made.curve[0].cost == pytest.approx(1.0)
    assert [made.curve[0].score, made.curve[-1].score] == [pytest.approx(0.6), pytest.approx(1.0)]


@given(values=st.lists(st.floats(0.015625, 1.0, width=32), min_size=1, max_size=40), most=st.integers(2, 50))
def test_cuts_lie_between_what_they_part(values: list[float], most: int) -> None:
    sure = np.array(values, np.float32)
    made = cuts(sure, most)
    assert len(made) <= max(2, most)
    assert (np.diff(made) > 0).all()
    assert made[0] > 0
    assert made[-1] <= 1
    assert np.abs(made[:, None] - sure[None].astype(np.float64)).min() > 1e-7, "no rounding moves a row across"
    assert made[0] < sure.min()


def test_one_model_makes_no_cascade() -> None:
    with pytest.raises(Invalid, match="two models"):
        design([np.eye(2, dtype=np.float32)], np.array([0, 1]), [np.ones(2)], prices)
    with pytest.raises(Invalid, match="two members"):
        Cascade((1.0,), ())
