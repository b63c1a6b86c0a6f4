"""What goes into a model or service and what comes out: names, datatypes and shapes, and the check of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from aimass.core.batch import Batch
from aimass.core.errors import Invalid


class Datatype(StrEnum):
    """The Open Inference Protocol's names."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"


NUMPY: Mapping[Datatype, np.dtype[Any]] = {
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.UINT8: np.dtype(np.uint8),
    Datatype.UINT16: np.dtype(np.uint16),
    Datatype.UINT32: np.dtype(np.uint32),
    Datatype.UINT64: np.dtype(np.uint64),
    Datatype.INT8: np.dtype(np.int8),
    Datatype.INT16: np.dtype(np.int16),
    Datatype.INT32: np.dtype(np.int32),
    Datatype.INT64: np.dtype(np.int64),
    Datatype.FP16: np.dtype(np.float16),
    Datatype.FP32: np.dtype(np.float32),
    Datatype.FP64: np.dtype(np.float64),
    Datatype.BYTES: np.dtype(np.object_),
}
_DATATYPES = {dtype: datatype for datatype, dtype in NUMPY.items()}


def datatype_of(dtype: np.dtype[Any]) -> Datatype:
    """The wire name of a numpy dtype; fixed-width strings count as BYTES."""
    if dtype.kind in "SUO":
        return Datatype.BYTES
    try:
        return _DATATYPES[dtype]
    except KeyError:
        raise Invalid(f"numpy dtype {dtype} has no Open Inference Protocol datatype") from None


@dataclass(frozen=True)
class Picture:
    """How an image file becomes one row of a tensor: grey, resized, its values from ``low`` to ``high``."""

    height: int
    width: int
    low: float = 0.0
    high: float = 1.0
    ink: str = "dark"  # "dark": dark strokes on a light ground get the high values; "light": light ones do

    def to_json(self) -> dict[str, Any]:
        return {"height": self.height, "width": self.width, "low": self.low, "high": self.high, "ink": self.ink}


@dataclass(frozen=True)
class Ragged:
    """How a free dimension that callers fill to different lengths is evened out, so that their rows can go together:
    at its end, to the next of ``buckets``, ascending; what is longer than all of them goes as it is."""

    axis: int
    buckets: tuple[int, ...]
    pad: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {"axis": self.axis, "buckets": list(self.buckets), "pad": self.pad}


@dataclass(frozen=True)
class TensorSpec:
    """One named tensor. ``shape[0]`` is -1, the rows; further -1 are free dimensions."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    allow_missing: bool = False  # NaN (null in JSON) may stand for a missing value
    picture: Picture | None = None
    ragged: Ragged | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TensorSpec":
        picture, ragged = data.get("picture"), data.get("ragged")
        return cls(
            name=data["name"],
            datatype=Datatype(data["datatype"]),
            shape=tuple(data["shape"]),
            allow_missing=data.get("allow_missing", False),
            picture=Picture(**picture) if picture else None,
            ragged=Ragged(ragged["axis"], tuple(ragged["buckets"]), ragged["pad"]) if ragged else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Only what differs from the defaults beside name, datatype and shape, so that digests stay stable."""
        data: dict[str, Any] = {"name": self.name, "datatype": self.datatype.value, "shape": list(self.shape)}
        if self.allow_missing:
            data["allow_missing"] = True
        if self.picture is not None:
            data["picture"] = self.picture.to_json()
        if self.ragged is not None:
            data["ragged"] = self.ragged.to_json()
        return data

    def accepts(self, other: "TensorSpec") -> str:
        """Why a tensor described by ``other`` does not fit here; empty if it does. Names are not compared."""
        if other.datatype != self.datatype:
            return f"datatype {other.datatype} where {self.datatype} is expected"
        if len(other.shape) != len(self.shape):
            return f"shape {list(other.shape)} where {list(self.shape)} is expected"
        for theirs, ours in zip(other.shape, self.shape, strict=True):
            if ours not in (-1, theirs):
                return f"shape {list(other.shape)} where {list(self.shape)} is expected"
        return ""


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs, in order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Signature":
        return cls(
            inputs=tuple(TensorSpec.from_json(item) for item in data["inputs"]),
            outputs=tuple(TensorSpec.from_json(item) for item in data["outputs"]),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
        }

    def check(self, batch: Batch) -> int:
        """Rows of a batch that fits the inputs; else ``Invalid`` that names the field and what was expected."""
        rows = -1
        for spec in self.inputs:
            array = batch.get(spec.name)
            if array is None:
                names = ", ".join(item.name for item in self.inputs)
                raise Invalid(f"input {spec.name!r} is missing; this model takes: {names}", field=spec.name)
            rows = _check_tensor(spec, array, rows)
        if len(batch) != len(self.inputs):
            known = {item.name for item in self.inputs}
            extra = next(name for name in batch if name not in known)
            raise Invalid(f"unknown input {extra!r}; this model takes: {', '.join(sorted(known))}", field=extra)
        return rows


def _check_tensor(spec: TensorSpec, array: Any, rows: int) -> int:
    if array.dtype != NUMPY[spec.datatype]:
        got = datatype_of(array.dtype)
        raise Invalid(f"input {spec.name!r} has datatype {got}, expected {spec.datatype}", field=spec.name)
    shape = array.shape
    if len(shape) != len(spec.shape) or any(
        want not in (-1, got) for got, want in zip(shape[1:], spec.shape[1:], strict=True)
    ):
        raise Invalid(
            f"input {spec.name!r} has shape {list(shape)}, expected {list(spec.shape)} (-1: any)", field=spec.name
        )
    if rows not in (-1, shape[0]):
        raise Invalid(f"input {spec.name!r} has {shape[0]} rows, the inputs before it have {rows}", field=spec.name)
    if shape[0] == 0:
        raise Invalid(f"input {spec.name!r} has no rows; send at least one", field=spec.name)
    if array.dtype.kind == "f" and not spec.allow_missing and not np.isfinite(array).all():
        raise Invalid(f"input {spec.name!r} holds NaN or infinity; send finite numbers", field=spec.name)
    return int(shape[0])
