"""What replicas have counted, as a file: so that sums do not fall when the reconciler itself starts anew."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from aimass.core.home import write_whole
from aimass.gateway.metrics import Snapshot

FORMAT = 3


def save(path: Path, snapshots: Mapping[str, Snapshot]) -> bool:
    """Write the snapshot of each replica; whether the disk took them."""
    data = {replica: _to_json(snapshot) for replica, snapshot in snapshots.items()}
    try:
        write_whole(path, json.dumps({"format": FORMAT, "replicas": data}, separators=(",", ":")).encode())
    except OSError:
        return False
    return True


def restore(path: Path) -> dict[str, Snapshot]:
    """What ``save`` wrote; nothing where there is no file, or none of this format."""
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != FORMAT:
            return {}
        return {replica: _from_json(item) for replica, item in data["replicas"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _to_json(snapshot: Snapshot) -> dict[str, Any]:
    """JSON has no tuples for keys: a list of [labels, count]."""
    return {
        name: [[list(labels), count] for labels, count in counts.items()] for name, counts in asdict(snapshot).items()
    }


def _from_json(data: Mapping[str, Any]) -> Snapshot:
    if "requests" not in data:
        raise ValueError("no snapshot")
    counts = {
        item.name: {tuple(labels): count for labels, count in data.get(item.name, ())} for item in fields(Snapshot)
    }
    return Snapshot(**counts)
