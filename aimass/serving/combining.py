"""A combine node at work in numpy: what the combiner makes of its members, and the label that stands for the best."""

from collections.abc import Mapping

import numpy as np

from aimass.core import plugins
from aimass.core.batch import Array, Batch
from aimass.core.errors import Unavailable
from aimass.core.signature import Signature
from aimass.ensembling.combiners import COMBINERS
from aimass.ensembling.combiners.base import Combiner
from aimass.graph.graph import LABEL


def make_combiner(name: str, weights: tuple[float, ...] | None, field: str = "combine") -> Combiner:
    """The combiner of that name; an unknown name or weights that it refuses are ``Invalid``."""
    return plugins.load_class(COMBINERS, name, Combiner, field)(weights)  # type: ignore[type-abstract]


def labels_of(classes: tuple[int | str, ...]) -> Array:
    """INT64 of whole numbers, BYTES of names."""
    return np.array(classes, np.object_ if isinstance(classes[0], str) else np.int64)


class Combine:
    """Called with the members' outputs, in order; answers what the combiner gives, and ``label`` where it is wanted."""

    def __init__(
        self,
        name: str,
        weights: tuple[float, ...] | None,
        classes: tuple[int | str, ...] | None,
        signature: Signature,
        quorum: int | None = None,
    ) -> None:
        self._combiner = make_combiner(name, weights)
        self._classes: Array | None = None if classes is None else labels_of(classes)
        self._labels = any(spec.name == LABEL for spec in signature.outputs)
        self._quorum = quorum

    def __call__(self, members: Batch) -> Batch:
        return self._answer(self._combiner.combine(list(members.values())))

    def combine_present(self, members: Mapping[str, Array | None]) -> Batch:
        """Of the members that are not None; ``Unavailable`` below the quorum, or when the combiner cannot."""
        present = sum(1 for member in members.values() if member is not None)
        needed = len(members) if self._quorum is None else self._quorum
        if present < needed:
            raise Unavailable(f"{present} of {len(members)} members answered; {needed} are needed")
        return self._answer(self._combiner.combine_present(list(members.values())))

    def _answer(self, combined: Array) -> Batch:
        answer: Batch = {self._combiner.output: combined}
        if self._labels:
            best = combined.argmax(axis=1)
            answer[LABEL] = best if self._classes is None else self._classes[best]
        return answer
