"""How rows are asked for and answered over HTTP: by the Open Inference Protocol, or as plain lists of lists."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from benchmarks.peers.server import PeerError
from benchmarks.workloads import OUTPUT, Array, Body, Workload, as_json


@dataclass(frozen=True)
class Dialect:
    """``write``: rows into a request's body. ``read``: an answer's content, and the bytes of its JSON where raw tensors
    follow (else 0), into rows; ``PeerError`` where it is none."""

    path: Callable[[Workload], str]
    write: Callable[[Array], Body]
    read: Callable[[bytes, int], Array]


def _read_oip(content: bytes, header_bytes: int) -> Array:
    tensor = orjson.loads(content[:header_bytes] if header_bytes else content)["outputs"][0]
    if tensor["name"] != OUTPUT or tensor["datatype"] != "FP32":
        raise PeerError(f"answered with {tensor['name']!r} as {tensor['datatype']}")
    flat: Any = np.frombuffer(content[header_bytes:], "<f4") if header_bytes else np.array(tensor["data"], np.float32)
    return np.asarray(flat.reshape(tensor["shape"]))


def _write_rows(rows: Array) -> Body:
    return Body(orjson.dumps({"rows": rows.tolist()}), rows.astype(np.float32))


def _read_rows(content: bytes, _: int) -> Array:
    return np.array(orjson.loads(content), np.float32)


OIP = Dialect(lambda workload: workload.path, as_json, _read_oip)
ROWS = Dialect(lambda workload: f"/{workload.service}", _write_rows, _read_rows)
"""BentoML's own: a parameter by its name; the answer is the list itself."""
