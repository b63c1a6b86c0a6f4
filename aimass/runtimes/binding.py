"""Sessions run over buffers that are kept: rows are copied in, the device reads them there and writes its answers.

A GPU moves pinned memory by itself, at the full speed of the bus; pinning costs far more than a call, so what was
pinned once is used again. Knows no CUDA: ``allocate`` gives the memory.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from aimass.core.batch import Array, Batch, row_count
from aimass.core.signature import NUMPY, Datatype, Signature, TensorSpec

Allocate = Callable[[int], Array]
"""Bytes of memory → as many, as a flat UINT8 array."""

SMALLEST = 4096  # bytes of a buffer: a page


def can_bind(signature: Signature) -> bool:
    """Texts have no fixed size, and stay where Python holds them."""
    return all(spec.datatype != Datatype.BYTES for spec in (*signature.inputs, *signature.outputs))


def room(size: int) -> int:
    """The bucket of a tensor of so many bytes: buffers come in powers of two, so that they seldom have to grow."""
    return max(SMALLEST, 1 << (size - 1).bit_length()) if size > 0 else SMALLEST


class BoundRun:
    """Stands in for a session's ``run``. May be called from several threads: each call has a set of buffers alone."""

    def __init__(self, session: Any, signature: Signature, allocate: Allocate) -> None:
        self._session = session
        self._signature = signature
        self._allocate = allocate
        self._free: list[_Buffers] = []

    def __call__(self, outputs: Sequence[str], batch: Batch, options: None = None) -> list[Array]:
        try:
            buffers = self._free.pop()
        except IndexError:
            buffers = _Buffers(self._session, self._signature, self._allocate)
        found = buffers.run(batch)
        self._free.append(buffers)  # not after a failure: nobody knows what still writes there
        return [found[name] for name in outputs]


class _Buffers:
    """One call's tensors at a time."""

    def __init__(self, session: Any, signature: Signature, allocate: Allocate) -> None:
        self._session = session
        self._signature = signature
        self._allocate = allocate
        self._binding = session.io_binding()
        self._memory: dict[tuple[str, str], Array] = {}

    def run(self, batch: Batch) -> Batch:
        rows = row_count(batch)
        for spec in self._signature.inputs:
            given = batch[spec.name]
            place = self._place("in", spec, given.shape)
            np.copyto(place, given)
            self._binding.bind_input(spec.name, "cpu", 0, place.dtype.type, place.shape, place.ctypes.data)
        places = {spec.name: self._bind_output(spec, rows) for spec in self._signature.outputs}
        self._session.run_with_iobinding(self._binding)
        made = zip(places.items(), self._binding.get_outputs(), strict=True)
        return {name: value.numpy() if place is None else place.copy() for (name, place), value in made}

    def _bind_output(self, spec: TensorSpec, rows: int) -> Array | None:
        """None where only the run knows the shape: onnxruntime takes the memory then."""
        if -1 in spec.shape[1:]:
            self._binding.bind_output(spec.name, "cpu")
            return None
        place = self._place("out", spec, (rows, *spec.shape[1:]))
        self._binding.bind_output(spec.name, "cpu", 0, place.dtype.type, place.shape, place.ctypes.data)
        return place

    def _place(self, side: str, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
        """Room for a tensor, at the beginning of its buffer."""
        dtype = NUMPY[spec.datatype]
        size = math.prod(shape) * dtype.itemsize
        memory = self._memory.get((side, spec.name))
        if memory is None or memory.nbytes < size:
            memory = self._memory[side, spec.name] = self._allocate(room(size))
        return memory[:size].view(dtype).reshape(shape)
