"""Greedy ensemble selection: members are added with replacement, one a round, as long as we care to look.

Source: R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble Selection from Libraries of Models", ICML 2004.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.combiners.weighted import WeightedCombiner

Score = Callable[[Array, Array], float]
"""Labels and probabilities to a number; higher is better."""


@dataclass(frozen=True)
class Selection:
    """``weights``: the share of each model on offer, 0 for those left out; ``history``: the score after each round."""

    weights: tuple[float, ...]
    score: float
    history: tuple[float, ...]

    @property
    def members(self) -> tuple[int, ...]:
        """Which models are in, in order."""
        return tuple(index for index, weight in enumerate(self.weights) if weight > 0)


def combine_selected(predictions: list[Array], weights: tuple[float, ...]) -> Array:
    """The ensemble's FP32 probabilities, by the very combiner that serves it; members of no weight are left out."""
    chosen = [index for index, weight in enumerate(weights) if weight > 0]
    combiner = WeightedCombiner(tuple(weights[index] for index in chosen))
    return combiner.combine([predictions[index] for index in chosen])


def select(
    predictions: list[Array], labels: Array, score: Score, rounds: int = 25, max_members: int | None = None
) -> Selection:
    """The best ensemble of any round, scored as it will be served, so never below the best single model.

    ``predictions``: each model's out-of-fold FP32 [rows, classes]. Ties go to members already in, then to the first
    model; of rounds that score the same the earliest is kept. ``max_members`` bounds how many different ones are in.
    """
    if not predictions:
        raise Invalid("there is no model to select from")
    if rounds < 1:
        raise Invalid(f"rounds is {rounds}; selection needs at least one", field="rounds")
    counts = [0] * len(predictions)
    history: list[float] = []
    best_score, best_weights = float("-inf"), ()  # type: tuple[float, tuple[float, ...]]
    for taken in range(1, rounds + 1):
        winner, reached = -1, float("-inf")
        for index in _offers(counts, max_members):
            counts[index] += 1
            value = score(labels, combine_selected(predictions, tuple(count / taken for count in counts)))
            counts[index] -= 1
            if winner < 0 or value > reached:
                winner, reached = index, value
        counts[winner] += 1
        history.append(reached)
        if not best_weights or reached > best_score:
            best_score, best_weights = reached, tuple(count / taken for count in counts)
    return Selection(best_weights, best_score, tuple(history))


def _offers(counts: list[int], max_members: int | None) -> list[int]:
    """Who may come next; members already in stand first, so that an equal newcomer does not displace them."""
    inside = [index for index, count in enumerate(counts) if count]
    if max_members is not None and len(inside) >= max_members:
        return inside
    return inside + [index for index, count in enumerate(counts) if not count]
