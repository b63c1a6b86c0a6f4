"""Payloads as an Arrow table that any tool reads, and back without loss.

A column per fact; a tensor ``image`` that callers send is ``in.image`` (its numbers row by row, a list per call) with
``in.image:shape``, an output ``out.image``. Masked, it is a list of hashes (hex, one per row) in ``in.image:masked``;
encrypted, bytes in ``in.image:sealed``. All payloads of a table are of one revision.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from aimass.core.batch import Array
from aimass.core.signature import NUMPY, Datatype
from aimass.monitoring.payloads.payload import Column, Form, Payload
from aimass.monitoring.payloads.secrets import MASK_BYTES
from aimass.monitoring.payloads.tensors import join, split

if TYPE_CHECKING:
    import pyarrow as pa

DATATYPE = b"datatype"  # of a tensor, in its column's metadata
_SIDES = {True: "in", False: "out"}
_TIMES = ("us", "nodes_us")
_SUFFIX = {Form.PLAIN: "", Form.MASKED: ":masked", Form.SEALED: ":sealed"}


def to_table(payloads: Sequence[Payload]) -> "pa.Table":
    """At least one payload."""
    import pyarrow as pa

    arrays: list[Any] = []
    fields: list[Any] = []
    for name, kind in _facts(pa).items():
        values = [getattr(item, name) for item in payloads]
        values = [list(value.items()) for value in values] if name in _TIMES else values
        arrays.append(pa.array(values, kind))
        fields.append(pa.field(name, kind))
    for key in dict.fromkeys(_key(column) for item in payloads for column in item.columns):
        found = [next((c for c in item.columns if _key(c) == key), None) for item in payloads]
        name, datatype = key
        values = _array(pa, datatype, name, found)
        arrays += (values, pa.array([None if c is None else list(c.shape) for c in found], pa.list_(pa.int32())))
        fields.append(pa.field(name, values.type, metadata={DATATYPE: datatype.encode()}))
        fields.append(pa.field(f"{name}:shape", pa.list_(pa.int32())))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def from_table(table: "pa.Table") -> Iterator[Payload]:
    """What ``to_table`` was given."""
    facts = [name for name in Payload.__slots__ if name != "columns"]
    tensors = [(field, table.column(field.name)) for field in table.schema if DATATYPE in (field.metadata or {})]
    known = {name: table.column(name).to_pylist() for name in facts}
    shapes = {field.name: table.column(f"{field.name}:shape").to_pylist() for field, _ in tensors}
    for index in range(table.num_rows):
        columns = []
        for field, values in tensors:
            shape = shapes[field.name][index]
            if shape is not None:
                columns.append(_column(field, values[index], tuple(shape)))
        said = {name: values[index] for name, values in known.items()}
        said |= {name: dict(said[name]) for name in _TIMES}
        yield Payload(**said, columns=tuple(columns))


def _facts(pa: Any) -> Mapping[str, Any]:
    texts = ("plan", "protocol", "client_id", "key_id", "account", "error", "degraded")
    times = pa.map_(pa.string(), pa.int64())
    return {
        "request_id": pa.string(),
        "at": pa.float64(),
        "service": pa.string(),
        "revision": pa.int32(),
        "status": pa.int16(),
        "probability": pa.float64(),
        **dict.fromkeys(texts, pa.string()),
        "rows": pa.int32(),
        **dict.fromkeys(_TIMES, times),
    }


def _key(column: Column) -> tuple[str, Datatype]:
    return f"{_SIDES[column.is_input]}.{column.name}{_SUFFIX[column.form]}", column.datatype


def _array(pa: Any, datatype: Datatype, name: str, columns: Sequence[Column | None]) -> Any:
    """One value per payload."""
    if name.endswith(_SUFFIX[Form.SEALED]):
        return pa.array([None if column is None else column.data for column in columns], pa.large_binary())
    if name.endswith(_SUFFIX[Form.MASKED]):
        return pa.array([None if column is None else _hashes(column.data) for column in columns], _texts(pa))
    if datatype is Datatype.BYTES:
        values = [None if column is None else split(column.data) for column in columns]
        return pa.array(values, pa.large_list(pa.large_binary()))
    parts: list[Array] = [_flat(column) for column in columns if column is not None]
    sizes = [0 if column is None else len(_flat(column)) for column in columns]
    offsets = pa.array([0, *accumulate(sizes)], pa.int64())
    missing = pa.array([column is None for column in columns])
    return pa.LargeListArray.from_arrays(offsets, pa.array(np.concatenate(parts)), mask=missing)


def _texts(pa: Any) -> Any:
    return pa.list_(pa.string())


def _flat(column: Column) -> Array:
    return np.frombuffer(column.data, NUMPY[column.datatype])


def _hashes(data: bytes) -> list[str]:
    return [data[at : at + MASK_BYTES].hex() for at in range(0, len(data), MASK_BYTES)]


def _column(field: Any, value: Any, shape: tuple[int, ...]) -> Column:
    datatype = Datatype(field.metadata[DATATYPE].decode())
    side, _, rest = field.name.partition(".")
    name, _, word = rest.partition(":")  # no tensor's name holds a colon
    form = Form(word or Form.PLAIN)
    return Column(name, side == "in", datatype, shape, form, _data(form, datatype, value))


def _data(form: Form, datatype: Datatype, value: Any) -> bytes:
    if form == Form.SEALED:
        return bytes(value.as_py())
    if form == Form.MASKED:
        return bytes.fromhex("".join(value.as_py()))
    if datatype is Datatype.BYTES:
        return join(value.as_py())
    array: Array = value.values.to_numpy(zero_copy_only=False)
    return array.astype(NUMPY[datatype], copy=False).tobytes()
