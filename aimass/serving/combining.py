"""A combine node at work in numpy: the combiner's probabilities, and the label that stands for the best of them."""

import numpy as np

from aimass.core import plugins
from aimass.core.batch import Array, Batch
from aimass.core.signature import Signature
from aimass.ensembling.combiners import COMBINERS
from aimass.ensembling.combiners.base import Combiner

LABEL = "label"
PROBABILITIES = "probabilities"


def make_combiner(name: str, weights: tuple[float, ...] | None, field: str = "combine") -> Combiner:
    """The combiner of that name; an unknown name or weights that it refuses are ``Invalid``."""
    return plugins.load_class(COMBINERS, name, Combiner, field)(weights)  # type: ignore[type-abstract]


def labels_of(classes: tuple[int | str, ...]) -> Array:
    """INT64 of whole numbers, BYTES of names."""
    return np.array(classes, np.object_ if isinstance(classes[0], str) else np.int64)


class Combine:
    """Called with the members' outputs, in order; answers what of ``probabilities`` and ``label`` is wanted."""

    def __init__(
        self, name: str, weights: tuple[float, ...] | None, classes: tuple[int | str, ...] | None, signature: Signature
    ) -> None:
        self._combine = make_combiner(name, weights).combine
        self._classes: Array | None = None if classes is None else labels_of(classes)
        self._labels = any(spec.name == LABEL for spec in signature.outputs)

    def __call__(self, members: Batch) -> Batch:
        probabilities = self._combine(list(members.values()))
        answer: Batch = {PROBABILITIES: probabilities}
        if self._labels:
            best = probabilities.argmax(axis=1)
            answer[LABEL] = best if self._classes is None else self._classes[best]
        return answer
