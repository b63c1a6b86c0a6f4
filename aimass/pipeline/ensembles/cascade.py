"""The cascade: cheap members first, temperatures and thresholds from out-of-fold predictions, costs as measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from aimass.core.batch import Array, Batch
from aimass.ensembling.cascades.cascade import Answered, Ask, Cascade, known
from aimass.ensembling.cascades.design import Design, design
from aimass.ensembling.cascades.surface import Point
from aimass.graph.graph import MEMBER, PROBABILITIES
from aimass.pipeline.build import Built, Workshop
from aimass.pipeline.ensembles.ensemble import Ensemble
from aimass.pipeline.recipe import CASCADE_NODE
from aimass.training.evaluation import Metric, bootstrap, find_metric

MOST = 3  # members, unless the recipe says how many


class CascadeEnsemble(Ensemble):
    """``offered``: each candidate's best model, from which ``made`` has chosen; ``costs``: µs of a row, each alone."""

    title = "cascade"
    description = "cascade"

    def __init__(self, offered: Sequence[Built], made: Design, costs: Sequence[float], metric: Metric) -> None:
        super().__init__([offered[index] for index in made.members])
        self.detail = " → ".join(_candidate(built) for built in self.models)
        self._offered, self._made, self._costs, self._metric = offered, made, costs, metric

    def node(self, sources: Sequence[str]) -> tuple[str, dict[str, Any]]:
        cascade = self._made.cascade
        node = {"cascade": list(sources), "thresholds": list(cascade.thresholds)}
        return CASCADE_NODE, node | {"temperatures": list(cascade.temperatures)}

    def answer(self, ask: Ask) -> Batch:
        answered = self._made.cascade.answer(ask)
        return {PROBABILITIES: answered.probabilities, MEMBER: answered.member}

    def report(self, labels: Array, test: Mapping[str, Array], seed: int) -> dict[str, Any]:
        """Costs are µs of one row; ``reached`` and ``answered`` are shares of the rows."""
        made, best = self._made, self._offered[self._made.best]
        seen = [built.trial.predictions for built in self.models if built.trial is not None]
        unseen = [test[built.name] for built in self.models]
        own = {"out_of_fold": made.cascade.answer(known(seen)), "test": made.cascade.answer(known(unseen))}
        gap = self._values(labels, own["test"].probabilities) - self._values(labels, test[best.name])
        return {
            "cascade": {
                "metric": self._metric.name,
                "members": [self._member(index, own) for index in range(len(self.models))],
                "alone": [
                    {"candidate": _candidate(built), "model": built.name, "cost_us": cost}
                    for built, cost in zip(self._offered, self._costs, strict=True)
                ],
                "best": {"candidate": _candidate(best), "cost_us": self._costs[made.best]},
                "chosen": self._point(made.point, labels, unseen, seed),
                "against_best": asdict(bootstrap(gap, seed)),
                "curve": [self._point(point, labels, unseen, seed) for point in made.curve],
            }
        }

    def _member(self, index: int, own: Mapping[str, Answered]) -> dict[str, Any]:
        built, cascade = self.models[index], self._made.cascade
        is_last = index == len(cascade.thresholds)
        return {
            "candidate": _candidate(built),
            "model": built.name,
            "adds_us": self._made.prices[index],
            "temperature": None if is_last else cascade.temperatures[index],
            "threshold": None if is_last else cascade.thresholds[index],
            "reached": {split: float((answered.member >= index).mean()) for split, answered in own.items()},
            "answered": {split: float((answered.member == index).mean()) for split, answered in own.items()},
        }

    def _point(self, point: Point, labels: Array, unseen: Sequence[Array], seed: int) -> dict[str, Any]:
        """The same rows are resampled at every point."""
        answered = Cascade(self._made.cascade.temperatures, point.thresholds).answer(known(unseen))
        cost = np.cumsum(self._made.prices)[answered.member]
        score = point.score if self._metric.higher_is_better else -point.score
        return {
            "thresholds": list(point.thresholds),
            "out_of_fold": {"cost_us": point.cost, "value": score},
            "test": {
                "cost_us": asdict(bootstrap(cost, seed)),
                "value": asdict(bootstrap(self._values(labels, answered.probabilities), seed)),
            },
        }

    def _values(self, labels: Array, probabilities: Array) -> Array:
        return self._metric.per_row(labels, probabilities)


def build_cascade(shop: Workshop, offered: Sequence[Built], transforms: Mapping[str, Built]) -> CascadeEnsemble:
    """The cascade of the offered models that costs least and is not below the best of them, out of fold."""
    metric, labels = find_metric(shop.recipe.score), shop.train.labels
    sign = 1.0 if metric.higher_is_better else -1.0
    predictions = [built.trial.predictions for built in offered if built.trial is not None]
    gains = [sign * metric.per_row(labels, given) for given in predictions]

    def prices(chain: tuple[int, ...]) -> tuple[float, ...]:
        """µs of a call with one row; a transform counts where it first runs."""
        found, ran = [], {""}
        for built in (offered[index] for index in chain):
            step = 0.0 if built.transform in ran else transforms[built.transform].profile.time_us(1)
            ran.add(built.transform)
            found.append(step + built.profile.time_us(1))
        return tuple(found)

    made = design(predictions, labels, gains, prices, shop.recipe.ensemble.max_members or MOST)
    alone = [prices((index,))[0] for index in range(len(offered))]
    return CascadeEnsemble(offered, made, alone, metric)


def _candidate(built: Built) -> str:
    return built.trial.candidate if built.trial is not None else built.name
