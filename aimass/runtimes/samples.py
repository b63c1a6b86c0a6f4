"""Made-up rows that fit a signature: for warming, for profiles and for trials."""

from collections.abc import Iterable

import numpy as np

from aimass.core.batch import Array, Batch
from aimass.core.signature import NUMPY, Datatype, TensorSpec


def random_rows(inputs: Iterable[TensorSpec], rows: int, generator: np.random.Generator) -> Batch:
    """``rows`` rows of every input: standard normal, small whole numbers, or short words; free dimensions are 1."""
    return {spec.name: _random(spec, rows, generator) for spec in inputs}


def _random(spec: TensorSpec, rows: int, generator: np.random.Generator) -> Array:
    shape = (rows, *(1 if size == -1 else size for size in spec.shape[1:]))
    dtype = NUMPY[spec.datatype]
    if spec.datatype == Datatype.BYTES:
        return generator.choice(np.array(["a", "b", "c"], dtype=object), size=shape)
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    return generator.integers(0, 2, size=shape).astype(dtype)
