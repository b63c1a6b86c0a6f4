"""A tensor as bytes and back, without loss: its numbers little-endian row by row, or each text behind its length."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from aimass.core.batch import Array
from aimass.core.signature import NUMPY, Datatype

_LENGTH = struct.Struct("<I")


def to_bytes(array: Array) -> bytes:
    """Numbers, or an array of ``bytes`` and ``str``."""
    if array.dtype.kind not in "OSU":
        return array.tobytes()
    pieces: list[bytes] = []
    for item in array.ravel().tolist():
        data = item.encode() if isinstance(item, str) else bytes(item)
        pieces += (_LENGTH.pack(len(data)), data)
    return b"".join(pieces)


def from_bytes(data: bytes, datatype: Datatype, shape: Sequence[int]) -> Array:
    """What ``to_bytes`` was given, texts as ``bytes``."""
    if datatype is not Datatype.BYTES:
        return np.frombuffer(data, NUMPY[datatype]).reshape(shape)
    found = np.empty(len(texts := split(data)), np.object_)
    found[:] = texts
    return found.reshape(shape)


def split(data: bytes) -> list[bytes]:
    """The texts of a BYTES tensor."""
    texts, at = [], 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        texts.append(data[at : at + length])
        at += length
    return texts


def join(texts: Sequence[Any]) -> bytes:
    """The opposite."""
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))


def row_bytes(array: Array) -> list[bytes]:
    """Each row as bytes."""
    return [to_bytes(row) for row in (array if array.ndim > 1 else array.reshape(-1, 1))]
