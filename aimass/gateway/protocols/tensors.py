"""One tensor between the wire and numpy: JSON numbers, strings or raw bytes, checked against what the service takes."""

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.core.signature import NUMPY, Datatype, TensorSpec

_NUMBERS = orjson.OPT_SERIALIZE_NUMPY
_LENGTH = struct.Struct("<I")
_CODES = {
    NUMPY[Datatype(name)]: code
    for name, code in zip(
        ["FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"],
        "efdbhiqBHIQ",
        strict=True,
    )
}


class TensorReader:
    """Reads one input. The fast readings give None where they are not sure; the strict one decides, with the error."""

    __slots__ = ("_dtype", "_finite", "_kind", "_packers", "_square_limit", "_tail", "_width", "fast", "name", "spec")

    def __init__(self, spec: TensorSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self._dtype = NUMPY[spec.datatype]
        self._kind = self._dtype.kind
        self._finite = self._kind == "f" and not spec.allow_missing
        self._tail = list(spec.shape[1:])
        self._width = math.prod(self._tail) if -1 not in self._tail else -1
        self.fast = {"f": "d", "i": "i", "u": "u"}.get(self._kind, "")
        # A sum of squares below this proves that no value is beyond the datatype, nor NaN.
        narrow = self._kind == "f" and self._dtype.itemsize < 8
        self._square_limit = float(np.finfo(self._dtype).max) ** 2 if narrow else np.inf

        self._packers: dict[int, Callable[..., bytes]] = {}

    def read_shape(self, shape: Any) -> int:
        """Elements that ``shape`` says; refused unless it fits the service."""
        if not isinstance(shape, list) or not all(type(item) is int and item >= 0 for item in shape):
            raise Invalid(f"input {self.name!r}: shape must be a list of whole numbers", field=self.name)
        want = self.spec.shape
        if len(shape) != len(want) or any(w not in (-1, s) for s, w in zip(shape[1:], want[1:], strict=True)):
            raise Invalid(f"input {self.name!r} has shape {shape}, expected {list(want)} (-1: any)", field=self.name)
        if shape[0] == 0:
            raise Invalid(f"input {self.name!r} has no rows; send at least one", field=self.name)
        return math.prod(shape)

    def read_small(self, data: list[Any], shape: list[Any]) -> Array | None:
        """A short flat list of numbers. ``struct`` converts, and checks kinds and bounds, in one go (its errors pass
        through); numpy takes as long for 64 numbers as for 1,000. Booleans count as numbers: keep them away."""
        rows = shape[0]
        if shape[1:] != self._tail or type(rows) is not int or rows < 1 or len(data) != rows * self._width:
            return None
        pack = self._packers.get(rows)
        if pack is None:
            pack = self._packers[rows] = struct.Struct(f"<{rows * self._width}{_CODES[self._dtype]}").pack
        return np.ndarray(shape, self._dtype, pack(*data))

    def read_fast(self, data: Any, shape: list[Any]) -> Array | None:
        """A flat simdjson array of plain numbers; None for everything else (simdjson's errors pass through)."""
        if len(shape) != len(self._tail) + 1 or shape[1:] != self._tail:
            return None
        rows = shape[0]
        if not all(type(size) is int for size in shape):
            return None
        values = np.frombuffer(data.as_buffer(of_type=self.fast), self.fast + "8" if self._kind != "f" else "f8")
        if rows < 1 or values.size != rows * self._width:
            return None
        if self._kind == "f":
            if not np.vdot(values, values) < self._square_limit:
                return None
        elif self._dtype.itemsize != 8:
            bounds = np.iinfo(self._dtype)
            if values.min() < bounds.min or values.max() > bounds.max:
                return None
        return values.astype(self._dtype).reshape(shape)

    def read_json(self, data: Any, shape: list[int]) -> Array:
        """A list, flat or nested as ``shape`` says, with each value of the right kind."""
        size = self.read_shape(shape)
        if not isinstance(data, list):
            raise Invalid(f"input {self.name!r}: data must be a list", field=self.name)
        flat = self._flatten(data, shape) if any(type(item) is list for item in data) else data
        if len(flat) != size:
            raise Invalid(f"input {self.name!r} has {len(flat)} elements, shape {shape} needs {size}", field=self.name)
        self._check_kinds(flat)
        if self._kind == "O":
            array = np.empty(size, dtype=object)
            array[:] = flat
            return array.reshape(shape)
        return self._narrow(flat).reshape(shape)

    def read_bytes(self, data: memoryview, shape: list[int]) -> Array:
        """Raw little-endian values; for BYTES each element after its length in four bytes."""
        size = self.read_shape(shape)
        if self._kind == "O":
            return self._read_strings(data, size).reshape(shape)
        if len(data) != size * self._dtype.itemsize:
            raise Invalid(
                f"input {self.name!r} has {len(data)} bytes, shape {shape} of {self.spec.datatype} needs "
                f"{size * self._dtype.itemsize}",
                field=self.name,
            )
        array: Array = np.frombuffer(data, self._dtype)
        if not array.flags.aligned:
            array = array.copy()
        # A sum of squares that is finite proves that all values are; it may overflow without any of them being so.
        if self._finite and not np.vdot(array, array) < np.inf and not np.isfinite(array).all():
            raise Invalid(f"input {self.name!r} holds NaN or infinity; send finite numbers", field=self.name)
        return array.reshape(shape)

    def _flatten(self, data: list[Any], shape: list[int]) -> list[Any]:
        level = [data]
        for length in shape[:-1]:
            if any(type(item) is not list or len(item) != length for item in level):
                raise Invalid(f"input {self.name!r}: nested data does not have shape {shape}", field=self.name)
            level = [item for part in level for item in part]
        if any(type(item) is not list or len(item) != shape[-1] for item in level):
            raise Invalid(f"input {self.name!r}: nested data does not have shape {shape}", field=self.name)
        return [item for part in level for item in part]

    def _check_kinds(self, flat: list[Any]) -> None:
        found = set(map(type, flat))
        if self._kind == "f":
            allowed, expected = {int, float}, "numbers"
            if self.spec.allow_missing:
                allowed, expected = {int, float, type(None)}, "numbers or null"
        elif self._kind == "b":
            allowed, expected = {bool}, "true or false"
        elif self._kind == "O":
            allowed, expected = {str}, "strings"
        else:
            allowed, expected = {int}, "whole numbers"
        wrong = found - allowed
        if wrong:
            names = {type(None): "null", str: "a string", bool: "a boolean", list: "a list", dict: "an object"}
            got = ", ".join(sorted(names.get(item, f"{item.__name__} values") for item in wrong))
            raise Invalid(f"input {self.name!r} holds {got}; {self.spec.datatype} needs {expected}", field=self.name)

    def _narrow(self, flat: list[Any]) -> Array:
        if self._kind == "f":
            values = np.array(flat, dtype=np.float64)
        elif self._kind == "b":
            return np.array(flat, dtype=np.bool_)
        else:
            bounds = np.iinfo(self._dtype)
            if min(flat) < bounds.min or max(flat) > bounds.max:
                raise Invalid(f"input {self.name!r} holds numbers beyond {self.spec.datatype}", field=self.name)
            return np.array(flat, dtype=self._dtype)
        with np.errstate(over="ignore"):
            narrow = values.astype(self._dtype)
        if np.isinf(narrow).any():
            raise Invalid(f"input {self.name!r} holds numbers beyond {self.spec.datatype}", field=self.name)
        return narrow

    def _read_strings(self, data: memoryview, size: int) -> Array:
        array, at = np.empty(size, dtype=object), 0
        try:
            for index in range(size):
                (length,) = _LENGTH.unpack_from(data, at)
                at += 4 + length
                if at > len(data):
                    raise ValueError("the last element is cut off")
                array[index] = str(data[at - length : at], "utf-8")
        except (struct.error, ValueError) as error:
            raise Invalid(f"input {self.name!r}: BYTES elements cannot be read: {error}", field=self.name) from None
        if at != len(data):
            raise Invalid(f"input {self.name!r} has {len(data) - at} bytes after its {size} elements", field=self.name)
        return array


class TensorWriter:
    """Writes one output; what does not change from answer to answer is written once."""

    __slots__ = ("_head", "_tail", "binary_head", "name", "spec")

    def __init__(self, spec: TensorSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self._head = b'{"name":' + orjson.dumps(spec.name) + b',"datatype":"' + spec.datatype.encode() + b'","shape":['
        known = -1 not in spec.shape[1:]
        self._tail = "".join(f",{size}" for size in spec.shape[1:]).encode() if known else None

    def json(self, array: Array) -> bytes:
        """The output as JSON; NaN and infinity leave as null."""
        flat = array.ravel()
        data = orjson.dumps(flat, option=_NUMBERS) if flat.dtype.kind != "O" else orjson.dumps(_strings(flat))
        return b"%b%b],%b%b}" % (self._head, self._shape(array), b'"data":', data)

    def binary(self, array: Array) -> tuple[bytes, bytes]:
        """The output's place in the JSON header, and its raw bytes."""
        if self.spec.datatype is Datatype.BYTES:
            items = [item.encode() for item in _strings(array.ravel())]
            raw = b"".join(_LENGTH.pack(len(item)) + item for item in items)
        else:
            raw = array.tobytes()
        size = b'"parameters":{"binary_data_size":%d}' % len(raw)
        return b"%b%b],%b}" % (self._head, self._shape(array), size), raw

    def _shape(self, array: Array) -> bytes:
        if self._tail is not None:
            return b"%d%b" % (array.shape[0], self._tail)
        return ",".join(map(str, array.shape)).encode()


def _strings(flat: Array) -> list[str]:
    return [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in flat.tolist()]
