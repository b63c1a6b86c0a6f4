"""Two plans' outputs for the same rows, compared row by row: do the labels agree, and how far apart are the scores?

What an output says is read off its signature. Integers, booleans and texts are labels. Floating numbers with a class
axis (two dimensions, and named as scores are, or beside a label) are scores: the largest is the label where there is no
other, and their distance is the total variation of ``probabilities``, ½ Σ|p - q|, and the largest difference of
others. One floating number a row is a figure: its absolute and its relative difference. Whatever else floats is a
vector, of which only the largest difference is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from aimass.core.batch import Array, Batch, row_count
from aimass.core.errors import Invalid
from aimass.core.signature import Datatype, TensorSpec
from aimass.graph.graph import PROBABILITIES

SCORE_NAMES = (PROBABILITIES, "scores", "logits")
FLOATING = (Datatype.FP16, Datatype.FP32, Datatype.FP64)


class Kind(StrEnum):
    """What an output says."""

    LABEL = "label"
    SCORES = "scores"
    FIGURE = "figure"
    VECTOR = "vector"


@dataclass(frozen=True)
class Compared:
    """Of each row: whether the labels agree, how far apart it is, and by what part of the larger one. None where the
    outputs have no such thing. A distance is infinite where one of both holds NaN or infinity and the other does not.
    """

    rows: int
    agreed: Array | None
    distance: Array | None
    relative: Array | None = None


class Comparer:
    """Of what two signatures have in common, by name; ``Invalid`` where that is nothing."""

    def __init__(self, primary: Sequence[TensorSpec], shadow: Sequence[TensorSpec]) -> None:
        kinds, others = kinds_of(primary), {spec.name: spec for spec in shadow}
        theirs = kinds_of(shadow)
        self._names: dict[Kind, list[str]] = {kind: [] for kind in Kind}
        for spec in primary:
            other = others.get(spec.name)
            if other is not None and theirs[spec.name] == kinds[spec.name] and _fits(spec, other):
                self._names[kinds[spec.name]].append(spec.name)
        if not any(self._names.values()):
            ours, there = (
                ", ".join(f"{s.name} {s.datatype} {list(s.shape)}" for s in specs) for specs in (primary, shadow)
            )
            raise Invalid(f"its outputs ({there}) have nothing in common with those that it is compared with ({ours})")

    def compare(self, primary: Batch, shadow: Batch) -> Compared:
        """Of the same rows in the same order; ``Invalid`` where the arrays do not have the same shape."""
        for name in (name for names in self._names.values() for name in names):
            if primary[name].shape != shadow[name].shape:
                shapes = f"{list(shadow[name].shape)}, not {list(primary[name].shape)}"
                raise Invalid(f"its output {name!r} has the shape {shapes}")
        rows, relative = row_count(primary), None
        labels, scores = self._names[Kind.LABEL], self._names[Kind.SCORES]
        agreed: Array | None = None
        for name in labels or scores:
            same = same_label if labels else same_best
            agreed = _both(agreed, same(primary[name], shadow[name]))
        distance: Array | None = None
        for kind in (Kind.SCORES, Kind.FIGURE, Kind.VECTOR):
            for name in self._names[kind]:
                found = distance_of(name, primary[name], shadow[name])
                distance = found if distance is None else np.maximum(distance, found)
            if distance is not None:
                break
        for name in self._names[Kind.FIGURE]:
            found = relative_difference(primary[name], shadow[name])
            relative = found if relative is None else np.maximum(relative, found)
        return Compared(rows, agreed, distance, relative)


def kinds_of(specs: Sequence[TensorSpec]) -> dict[str, Kind]:
    """What each output says."""
    has_label = any(spec.datatype not in FLOATING for spec in specs)
    return {spec.name: _kind(spec, has_label) for spec in specs}


def same_label(primary: Array, shadow: Array) -> Array:
    """Bool [rows]: every value of the row is equal."""
    return np.asarray(_flat(primary == shadow).all(axis=1), dtype=np.bool_)


def same_best(primary: Array, shadow: Array) -> Array:
    """Bool [rows]: the largest score (the first of equals) is that of the same class, everywhere in the row."""
    return np.asarray(_flat(primary.argmax(axis=-1) == shadow.argmax(axis=-1)).all(axis=1), dtype=np.bool_)


def distance_of(name: str, primary: Array, shadow: Array) -> Array:
    """FP64 [rows]: the total variation of ``probabilities``, of others the largest absolute difference."""
    apart = _flat(_apart(primary, shadow))
    return np.asarray(apart.sum(axis=1) / 2 if name == PROBABILITIES else apart.max(axis=1))


def relative_difference(primary: Array, shadow: Array) -> Array:
    """FP64 [rows]: |a - b| as a part of the larger of |a| and |b|; 0 where both are 0."""
    apart = _flat(_apart(primary, shadow))
    larger = np.maximum(np.abs(_flat(primary)).astype(np.float64), np.abs(_flat(shadow)))
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(apart == 0, 0.0, np.where(np.isfinite(apart), apart / larger, np.inf))
    return np.asarray(part.max(axis=1))


def _apart(primary: Array, shadow: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(primary.astype(np.float64) - shadow)
        same = (primary == shadow) | (np.isnan(primary) & np.isnan(shadow))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _kind(spec: TensorSpec, has_label: bool) -> Kind:
    if spec.datatype not in FLOATING:
        return Kind.LABEL
    if all(size == 1 for size in spec.shape[1:]):
        return Kind.FIGURE
    has_classes = len(spec.shape) == 2 and (has_label or spec.name in SCORE_NAMES)
    return Kind.SCORES if has_classes else Kind.VECTOR


def _fits(spec: TensorSpec, other: TensorSpec) -> bool:
    return len(spec.shape) == len(other.shape) and all(
        -1 in (ours, theirs) or ours == theirs for ours, theirs in zip(spec.shape[1:], other.shape[1:], strict=True)
    )


def _flat(array: Array) -> Array:
    return array.reshape(len(array), -1)


def _both(known: Array | None, found: Array) -> Array:
    return found if known is None else known & found
