"""Rows to learn from: what callers sent, as the payload log kept it, beside the labels that came back."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from aimass.core.batch import Array, Batch, concat
from aimass.core.errors import Invalid, NotFound

LABEL = "label"
FORMATS = ("csv", "npz", "parquet")


@dataclass(frozen=True)
class Known:
    """One labelled row; ``label`` as JSON."""

    request_id: str
    row: int
    revision: int
    label: str
    answered_at: float


@dataclass(frozen=True)
class Rows:
    """``inputs``: as the service takes them; ``known`` row by row beside them. ``without``: labelled rows whose inputs
    were not kept, or cannot be read."""

    inputs: Batch
    known: Sequence[Known]
    without: int


def join(labels: Sequence[Known], inputs: Mapping[str, Batch]) -> Rows:
    """``inputs``: request id → what it sent. ``NotFound`` where no label meets its row."""
    found = [(item, inputs[item.request_id]) for item in labels if inputs.get(item.request_id)]
    if not found:
        raise NotFound(
            f"none of {len(labels)} labelled rows has its inputs on record: deploy the service with `payloads: "
            "{sample: 1}`, and give feedback on what it answers from then on"
        )
    shapes = {name: array.shape[1:] for name, array in found[0][1].items()}
    fits = [
        (item, batch) for item, batch in found if {name: array.shape[1:] for name, array in batch.items()} == shapes
    ]
    parts = [{name: array[item.row : item.row + 1] for name, array in batch.items()} for item, batch in fits]
    return Rows(concat(parts), [item for item, _ in fits], len(labels) - len(fits))


def write(rows: Rows, form: str) -> bytes:
    """The rows as a file: a table with a column per number, then ``label``; or arrays by the inputs' names."""
    if form not in FORMATS:
        raise Invalid(f"{form!r} is none of the forms {', '.join(FORMATS)}", field="form")
    writers: dict[str, Callable[[Rows], bytes]] = {"csv": _csv, "npz": _npz, "parquet": _parquet}
    return writers[form](rows)


def _columns(rows: Rows) -> dict[str, Sequence[Any]]:
    """A table whose last column is ``label``, which a recipe reads as it is."""
    columns: dict[str, Sequence[Any]] = {}
    for name, array in rows.inputs.items():
        flat = array.reshape(len(array), -1)
        for index in range(flat.shape[1]):
            columns[name if flat.shape[1] == 1 else f"{name}_{index}"] = _values(flat[:, index])
    if LABEL in columns:
        raise Invalid("an input is called label, as the column of the labels is; write npz", field="form")
    return {**columns, LABEL: [orjson.loads(item.label) for item in rows.known]}


def _values(column: Array) -> Sequence[Any]:
    return [value.decode(errors="replace") if isinstance(value, bytes) else value for value in column.tolist()]


def _csv(rows: Rows) -> bytes:
    columns, text = _columns(rows), io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _npz(rows: Rows) -> bytes:
    data = io.BytesIO()
    named: dict[str, Any] = {
        name: array.astype(str) if array.dtype.kind == "O" else array for name, array in rows.inputs.items()
    }
    if LABEL in named:
        raise Invalid("an input is called label, as the array of the labels is", field="form")
    np.savez_compressed(data, **named, label=np.array([orjson.loads(item.label) for item in rows.known]))
    return data.getvalue()


def _parquet(rows: Rows) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    facts = {
        "request_id": [item.request_id for item in rows.known],
        "row": [item.row for item in rows.known],
        "revision": [item.revision for item in rows.known],
        "answered_at": [item.answered_at for item in rows.known],
    }
    data = io.BytesIO()
    columns = _columns(rows)
    pq.write_table(pa.table({**{f"_{name}": values for name, values in facts.items()}, **columns}), data)
    return data.getvalue()
