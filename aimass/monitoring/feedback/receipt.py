"""What a replica answered, in the few bytes that feedback is compared with; many receipts are one line of a file."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from aimass.core.batch import Array

_BEGIN = b'{"n":"'
_NONE: Mapping[str, Sequence[Any]] = {}
PREFIX, COUNT = 19, 8  # hex digits of a request id: its replica's start, and which of the replica's calls it was


class Shared(NamedTuple):
    """What all receipts of a line have in common."""

    service: str
    revision: int
    account: str
    probability: float  # with which the revision was chosen


class Receipt(NamedTuple):
    """One answered request. ``labels`` and each member's scores: one for each row; None where the answer has none."""

    request_id: str
    shared: Shared
    at: float  # seconds since 1970 UTC
    rows: int
    labels: Sequence[int | str | bool] | None = None
    members: Mapping[str, Sequence[Any]] = _NONE


def encode(
    shared: Shared,
    at: float,
    requests: Sequence[tuple[str, int]],
    labels: Sequence[Any] | Array | None,
    members: Mapping[str, Array],
) -> bytes:
    """One line for these (request id, rows), whose rows' labels and scores follow each other."""
    line: dict[str, Any] = {
        "n": "".join([request_id[PREFIX:] for request_id, _ in requests]),
        "s": shared.service,
        "v": shared.revision,
        "a": shared.account,
        "t": round(at, 3),
    }
    if shared.probability != 1.0:
        line["p"] = shared.probability
    if len(requests) != sum([rows for _, rows in requests]):
        line["r"] = [rows for _, rows in requests]
    if labels is not None:
        line["l"] = labels
    if members:
        line["m"] = members
    return orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


def numbers_of(line: bytes) -> Sequence[int]:
    """Which of the replica's calls are in a line; ``ValueError`` where it does not say so."""
    data = bytes.fromhex(line[len(_BEGIN) : line.index(b'"', len(_BEGIN))].decode())
    if not line.startswith(_BEGIN) or not data or len(data) % 4:
        raise ValueError("a line of receipts begins with the numbers of its calls, of eight hex digits each")
    return struct.unpack(f">{len(data) // 4}I", data)


def pick(line: Mapping[str, Any], request_id: str) -> Receipt | None:
    """One request's part of a decoded line."""
    wanted, names = request_id[PREFIX:], line["n"]
    at = names.find(wanted)
    while at % COUNT and at >= 0:  # across the border of two
        at = names.find(wanted, at + 1)
    if at < 0:
        return None
    place, counts = at // COUNT, line.get("r")
    first, rows = (sum(counts[:place]), counts[place]) if counts else (place, 1)
    shared = Shared(line["s"], line["v"], line["a"], line.get("p", 1.0))
    labels = line["l"][first : first + rows] if "l" in line else None
    members = _NONE
    if "m" in line:
        members = {name: values[first : first + rows] for name, values in line["m"].items()}
    return Receipt(request_id, shared, line["t"], rows, labels, members)
