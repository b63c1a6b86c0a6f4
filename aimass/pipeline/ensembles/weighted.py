"""The weighted ensemble: members and weights that greedy selection chose."""

from collections.abc import Mapping, Sequence
from typing import Any

from aimass.core.batch import Array, Batch
from aimass.ensembling.cascades.cascade import Ask
from aimass.ensembling.combiners.weighted import WeightedCombiner
from aimass.ensembling.selection import Selection
from aimass.graph.graph import PROBABILITIES
from aimass.pipeline.build import Built
from aimass.pipeline.ensembles.ensemble import Ensemble
from aimass.pipeline.recipe import COMBINE_NODE


class WeightedEnsemble(Ensemble):
    """``models``: those that were selected, in the order of the trials."""

    title = "selected ensemble"

    def __init__(self, models: Sequence[Built], selection: Selection) -> None:
        super().__init__(models)
        self.detail = f"{len(models)} member{'s' if len(models) > 1 else ''}"
        self.description = "weighted vote"
        self._selection = selection
        self._weights = tuple(selection.weights[index] for index in selection.members)
        self._combiner = WeightedCombiner(self._weights)

    def node(self, sources: Sequence[str]) -> tuple[str, dict[str, Any]]:
        return COMBINE_NODE, {"combine": "weighted", "weights": list(self._weights), "inputs": list(sources)}

    def answer(self, ask: Ask) -> Batch:
        return {PROBABILITIES: self._combiner.combine([ask(index, None) for index in range(len(self.models))])}

    def report(self, labels: Array, test: Mapping[str, Array], seed: int) -> dict[str, Any]:
        return {
            "selection": {
                "rounds": list(self._selection.history),
                "score": self._selection.score,
                "members": [
                    {"model": built.name, "weight": weight}
                    for built, weight in zip(self.models, self._weights, strict=True)
                ],
            }
        }
