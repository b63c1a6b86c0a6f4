"""Which models make the cheapest cascade that is no worse than the best of them, and at which thresholds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.cascades.cascade import Cascade
from aimass.ensembling.cascades.confidence import confidence, fit_temperature
from aimass.ensembling.cascades.surface import Point, Surface

Prices = Callable[[tuple[int, ...]], tuple[float, ...]]
"""A chain of models → what each of them adds to the cost of a row that comes to it, all of them above 0."""

CURVE = 25  # points of the curve


@dataclass(frozen=True)
class Design:
    """``members``: which of the models, from the cheapest on; ``floor``: the best model's mean score; ``curve``: what
    these members reach at other thresholds, by cost."""

    members: tuple[int, ...]
    cascade: Cascade
    prices: tuple[float, ...]
    point: Point
    best: int
    floor: float
    curve: tuple[Point, ...]


def design(
    predictions: Sequence[Array], labels: Array, gains: Sequence[Array], prices: Prices, most: int = 3
) -> Design:
    """The chain of two to ``most`` models and the thresholds with the least expected cost among those whose mean score
    is not below the best model's; the best score where none has that.

    ``predictions``: FP32 [rows, classes] of each model for rows that it has not seen; ``gains``: FP64 [rows] of each,
    how good its answer is, higher is better.
    """
    if len(predictions) < 2:
        raise Invalid("a cascade needs two models at least")
    alone = [prices((index,))[0] for index in range(len(predictions))]
    order = sorted(range(len(predictions)), key=lambda index: alone[index])
    temperatures = [fit_temperature(given, labels) for given in predictions]
    sure = [confidence(given, heat) for given, heat in zip(predictions, temperatures, strict=True)]
    means = [float(gain.mean()) for gain in gains]
    best = max(order, key=lambda index: means[index])
    offers: list[tuple[Point, tuple[int, ...]]] = []
    for size in range(2, min(most, len(order)) + 1):
        for chain in combinations(order, size):
            offers.append((_surface(chain, sure, gains, prices).cheapest(means[best]), chain))
    point, chain = min(offers, key=lambda offer: _rank(offer[0], means[best]))
    return Design(
        members=chain,
        cascade=Cascade(tuple(temperatures[index] for index in chain[:-1]), point.thresholds),
        prices=prices(chain),
        point=point,
        best=best,
        floor=means[best],
        curve=tuple(_surface(chain, sure, gains, prices).frontier(CURVE)),
    )


def _surface(chain: tuple[int, ...], sure: Sequence[Array], gains: Sequence[Array], prices: Prices) -> Surface:
    return Surface([sure[index] for index in chain[:-1]], [gains[index] for index in chain], prices(chain))


def _rank(point: Point, floor: float) -> tuple[float, float]:
    """Good enough ones by their cost, before all others by how good they are."""
    return (0.0, point.cost) if point.reaches(floor) else (1.0, -point.score)
