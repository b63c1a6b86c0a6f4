"""Payloads made up for tests."""

from pathlib import Path
from typing import Any

import numpy as np

from aimass.core.batch import Array
from aimass.core.events import Trace
from aimass.core.home import Home
from aimass.monitoring.payloads.log import PayloadLog, Taken, open_log
from aimass.monitoring.payloads.secrets import Private

NOON = 1_795_262_400.0  # 2026-11-21 12:00 UTC
OPEN = Private()


def taken(request_id: str, rows: Array | None = None, private: Private = OPEN, **more: Any) -> Taken:
    """A call of the service iris, answered at noon unless told otherwise."""
    inputs = {"x": np.arange(8, dtype=np.float32).reshape(2, 4) if rows is None else rows}
    outputs = {"label": np.array([1, 2]), "name": np.array([b"a", "b\u00e9".encode()], object)}
    at = more.pop("at", NOON)
    facts: dict[str, Any] = {"service": "iris", "revision": 7, "status": 200, "rows": 2, "run_s": 0.001, **more}
    trace = Trace(request_id, **facts)
    trace.node_s = {"svm": 0.0005}
    size = sum(array.nbytes for array in (*inputs.values(), *outputs.values()))
    return Taken(trace, at, 0.25, private, inputs, outputs if trace.status == 200 else {}, size)


def log_in(folder: Path) -> tuple[PayloadLog, dict[tuple[str, ...], float]]:
    """A replica's log, and what it counts as dropped."""
    dropped: dict[tuple[str, ...], float] = {}
    return open_log(Home(folder), "replica", dropped), dropped


def everything(folder: Path) -> bytes:
    """Every byte below a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
