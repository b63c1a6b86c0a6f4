"""Convolutional network for small square pictures; takes raw pixels. Needs the packages of the extra ``torch``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aimass.core.batch import Array
from aimass.training.site import Site
from aimass.training.space import Parameters, Scalar
from aimass.training.trainers.base import Trainer

if TYPE_CHECKING:
    from aimass.training.cnn.classifier import PictureClassifier

WORKER_CPUS = 0.2
"""Of Ray's; two workers take the room of one trial, so that what could be tuned can be fitted."""


@dataclass(frozen=True)
class _Between:
    """A number from ``low`` to ``high``, both included; a whole one where the default is."""

    default: int | float
    low: int | float
    high: int | float

    def problem(self, name: str, value: Scalar) -> str:
        whole = isinstance(self.default, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            return f"{name} is a {'whole ' if whole else ''}number, not {value!r}"
        if not self.low <= value <= self.high:
            return f"{name} is {self.low} to {self.high}, not {value!r}"
        return ""


_PARAMETERS: Mapping[str, _Between] = {
    "epochs": _Between(8, 1, 1000),
    "batch": _Between(128, 2, 65_536),
    "learning_rate": _Between(3e-3, 1e-6, 1.0),
    "weight_decay": _Between(1e-2, 0.0, 10.0),
    "width": _Between(16, 1, 512),
    "workers": _Between(2, 1, 64),
}


class CnnTrainer(Trainer):
    """Trials learn in the process of the trial; with a site, ``workers`` processes of Ray Train share every batch,
    keep a checkpoint per epoch, and go on from the last one when one of them is lost."""

    parameters = frozenset(_PARAMETERS)
    packages = ("torch", "onnxscript")

    def cpus(self, parameters: Parameters) -> float:
        return WORKER_CPUS * int(_chosen(parameters)["workers"])

    def _problem(self, parameters: Parameters) -> str:
        return next(filter(None, (_PARAMETERS[name].problem(name, value) for name, value in parameters.items())), "")

    def _estimator(self, parameters: Parameters, seed: int) -> "PictureClassifier":
        from aimass.training.cnn.classifier import PictureClassifier

        options = _chosen(parameters)
        del options["workers"]
        return PictureClassifier(options, seed)

    def _fit_at(self, site: Site, parameters: Parameters, seed: int, rows: Array, labels: Array) -> Any:
        from aimass.training.cnn.workers import learn_together

        classifier = self._estimator(parameters, seed)
        lesson = classifier.lesson(rows, labels)
        return classifier.take(learn_together(lesson, int(_chosen(parameters)["workers"]), WORKER_CPUS, site), labels)


def _chosen(parameters: Parameters) -> dict[str, Any]:
    return {name: between.default for name, between in _PARAMETERS.items()} | parameters
