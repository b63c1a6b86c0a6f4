"""Made-up rows that fit a signature: for warming, for profiles and for trials."""

from collections.abc import Iterable

import numpy as np

from aimass.core.batch import Array, Batch
from aimass.core.signature import NUMPY, Datatype, TensorSpec

WORDS = np.array(["a", "cat", "sat", "on", "the", "mat", "while", "two", "old", "dogs", "slept", "nearby"], object)
LONGEST = 24  # words of a made-up text


def random_rows(inputs: Iterable[TensorSpec], rows: int, generator: np.random.Generator) -> Batch:
    """``rows`` rows of every input: standard normal, small whole numbers, or short words; free dimensions are 1. What
    has one string a row may be text, and gets sentences."""
    return {spec.name: _random(spec, rows, generator) for spec in inputs}


def _random(spec: TensorSpec, rows: int, generator: np.random.Generator) -> Array:
    shape = (rows, *(1 if size == -1 else size for size in spec.shape[1:]))
    dtype = NUMPY[spec.datatype]
    if spec.datatype == Datatype.BYTES and len(shape) == 1:
        return np.array([_sentence(generator) for _ in range(rows)], dtype=object)
    if spec.datatype == Datatype.BYTES:
        return generator.choice(np.array(["a", "b", "c"], dtype=object), size=shape)
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    return generator.integers(0, 2, size=shape).astype(dtype)


def _sentence(generator: np.random.Generator) -> str:
    return " ".join(generator.choice(WORDS, size=generator.integers(1, LONGEST + 1)))
