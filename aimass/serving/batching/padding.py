"""Inputs of different lengths evened out, so that their rows can go together; and the proof that no answer changes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from aimass.core.batch import Array, Batch
from aimass.core.errors import Invalid
from aimass.core.signature import Ragged, TensorSpec
from aimass.runtimes.samples import random_rows

Run = Callable[[Batch], Awaitable[Batch]]
ROWS = 2
SMALL = 3  # buckets that are tried from both ends; of the others only the last, from its lower one
RELATIVE, ABSOLUTE = 1e-4, 1e-5  # two runs of one model over other shapes sum in other orders


class Padding:
    """Of one revision. ``carried``: of each output, the axes that have the length of the ragged inputs."""

    def __init__(self, inputs: Sequence[TensorSpec], carried: Mapping[str, tuple[int, ...]]) -> None:
        self._ragged: dict[str, Ragged] = {spec.name: spec.ragged for spec in inputs if spec.ragged is not None}
        self._buckets = next(iter(self._ragged.values())).buckets
        self._carried = {name: axes for name, axes in carried.items() if axes}

    def pad(self, batch: Batch) -> tuple[Batch, int]:
        """The batch at a bucket's length, and the length that it had; 0 where nothing was padded."""
        lengths = {name: batch[name].shape[ragged.axis] for name, ragged in self._ragged.items()}
        length = next(iter(lengths.values()))
        for name, other in lengths.items():
            if other != length:
                raise Invalid(
                    f"input {name!r} has length {other}, {next(iter(lengths))!r} has {length}; they must be equal",
                    field=name,
                )
        bucket = next((size for size in self._buckets if size >= length), length)
        if bucket == length:
            return batch, 0
        return {name: self._padded(name, array, bucket) for name, array in batch.items()}, length

    def cut(self, outputs: Batch, length: int) -> Batch:
        """Outputs of a padded batch at the length that it had."""
        return {name: self._cut(name, array, length) for name, array in outputs.items()}

    def _padded(self, name: str, array: Array, bucket: int) -> Array:
        ragged = self._ragged.get(name)
        if ragged is None:
            return array
        shape = list(array.shape)
        shape[ragged.axis] = bucket
        wide = np.full(shape, ragged.pad, array.dtype)
        wide[_along(ragged.axis, slice(array.shape[ragged.axis]))] = array
        return wide

    def _cut(self, name: str, array: Array, length: int) -> Array:
        for axis in self._carried.get(name, ()):
            array = array[_along(axis, slice(length))]
        return array


async def learn_padding(inputs: Sequence[TensorSpec], run: Run) -> Padding | None:
    """How to pad what ``run`` is given, learnt by made-up rows of several lengths; None where no input is ragged.

    ``Invalid``, with the figures, when a padded batch is answered otherwise than as it was.
    """
    first = next(((spec.name, spec.ragged) for spec in inputs if spec.ragged is not None), None)
    if first is None:
        return None
    carried: dict[str, tuple[int, ...]] = {}
    for length in _lengths(first[1].buckets):
        batch = _sample(inputs, length)
        padded, _ = Padding(inputs, {}).pad(batch)
        plain, answers = await run(batch), await run(padded)
        size = padded[first[0]].shape[first[1].axis]
        for name, array in plain.items():
            axes = _axes(name, array, answers[name], length, size)
            if carried.setdefault(name, axes) != axes:
                raise Invalid(
                    f"output {name!r} follows the length of its inputs at some lengths only; leave `ragged` out"
                )
        cut = Padding(inputs, carried).cut(answers, length)
        for name, array in plain.items():
            _compare(name, array, cut[name], f"from length {length} to {size}")
    return Padding(inputs, carried)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    """An index that takes this part of one axis and all of the others."""
    return (*[slice(None)] * axis, part)


def _lengths(buckets: Sequence[int]) -> list[int]:
    """Lengths that are padded: the longest and the shortest of small buckets, the shortest of the last."""
    found: set[int] = set()
    for lower, upper in zip((0, *buckets), buckets, strict=False):
        if upper - lower > 1 and (upper in buckets[:SMALL] or upper == buckets[-1]):
            found.add(lower + 1)
            if upper in buckets[:SMALL]:
                found.add(upper - 1)
    return sorted(found)


def _sample(inputs: Sequence[TensorSpec], length: int) -> Batch:
    """Made-up rows; what stands first in a ragged one is 1, so that no row is one that a mask leaves nothing of."""
    shaped = [
        replace(spec, shape=tuple(length if axis == spec.ragged.axis else size for axis, size in enumerate(spec.shape)))
        if spec.ragged
        else spec
        for spec in inputs
    ]
    batch = random_rows(shaped, ROWS, np.random.default_rng(length))
    for spec in inputs:
        if spec.ragged:
            batch[spec.name][_along(spec.ragged.axis, slice(1))] = 1
    return batch


def _axes(name: str, plain: Array, padded: Array, length: int, size: int) -> tuple[int, ...]:
    """The axes at which the padded answer is as much longer as its inputs are."""
    if plain.ndim == padded.ndim:
        axes = tuple(axis for axis in range(plain.ndim) if plain.shape[axis] != padded.shape[axis])
        if all((plain.shape[axis], padded.shape[axis]) == (length, size) for axis in axes):
            return axes
    raise Invalid(
        f"padding the inputs from length {length} to {size} gives output {name!r} the shape {list(padded.shape)}, "
        f"not {list(plain.shape)}; leave `ragged` out",
        field="ragged",
    )


def _compare(name: str, plain: Array, padded: Array, how: str) -> None:
    if plain.dtype.kind == "f":
        if np.allclose(padded, plain, RELATIVE, ABSOLUTE, equal_nan=True):
            return
        what = f"by up to {np.nanmax(np.abs(padded.astype(np.float64) - plain)):.3g}"
    elif np.array_equal(plain, padded):
        return
    else:
        what = f"in {int((plain != padded).sum())} of {plain.size} values"
    raise Invalid(
        f"padding the inputs {how} changes output {name!r} {what}; a model that is to be padded needs an input that "
        "masks it: give it one, or leave `ragged` out",
        field="ragged",
    )
