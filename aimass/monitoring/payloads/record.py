"""A payload as one record of a spill file, and back."""

import struct
from collections.abc import Iterable
from typing import Any

import orjson

from aimass.core.signature import Datatype
from aimass.monitoring.payloads.payload import Column, Form, Payload

_HEAD = struct.Struct("<I")
FACTS = tuple(name for name in Payload.__slots__ if name != "columns")


def encode(payload: Payload) -> bytes:
    """The length of the facts, the facts as JSON, then the columns' bytes one after another."""
    facts: dict[str, Any] = {name: getattr(payload, name) for name in FACTS}
    facts["columns"] = [
        [column.name, column.is_input, column.datatype, column.shape, column.form, len(column.data)]
        for column in payload.columns
    ]
    head = orjson.dumps(facts)
    return b"".join((_HEAD.pack(len(head)), head, *(column.data for column in payload.columns)))


def decode_all(found: Iterable[bytes]) -> tuple[list[Payload], Exception | None]:
    """Those that are whole, and what was wrong with the last that is not."""
    payloads, wrong = [], None
    for data in found:
        try:
            payloads.append(decode(data))
        except Exception as error:  # noqa: BLE001 - whatever is in it, it must not hide the others
            wrong = error
    return payloads, wrong


def decode(data: bytes) -> Payload:
    """What ``encode`` was given."""
    (length,) = _HEAD.unpack_from(data)
    at = _HEAD.size + length
    facts = orjson.loads(data[_HEAD.size : at])
    columns = []
    for name, is_input, datatype, shape, form, size in facts.pop("columns"):
        columns.append(Column(name, is_input, Datatype(datatype), tuple(shape), Form(form), data[at : at + size]))
        at += size
    return Payload(**facts, columns=tuple(columns))
