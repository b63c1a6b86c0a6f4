"""Named tensors as JSON without loss, for what is told rather than called: datatype, shape, raw bytes in base64."""

import base64
from collections.abc import Mapping
from typing import Any

from aimass.client.wire import from_raw, raw_bytes
from aimass.core.batch import Batch
from aimass.core.signature import datatype_of


def to_json(batch: Batch) -> dict[str, Any]:
    """By name."""
    found = {}
    for name, array in batch.items():
        datatype = datatype_of(array.dtype)
        raw = base64.b64encode(raw_bytes(array, datatype)).decode()
        found[name] = {"name": name, "datatype": datatype.value, "shape": list(array.shape), "raw": raw}
    return found


def from_json(data: Mapping[str, Any]) -> Batch:
    """What ``to_json`` was given, texts as ``bytes``."""
    return {name: from_raw(item, base64.b64decode(item["raw"])) for name, item in data.items()}
