"""A kept call answered once more, by the replicas or outside them, and compared with what was answered then."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from aimass.client.client import Client
from aimass.client.control import Control
from aimass.client.tensors import from_json
from aimass.core.batch import Array, Batch
from aimass.core.errors import AimassError, Conflict

RELATIVE, ABSOLUTE = 1e-4, 1e-5  # a row alone and one among others, or one graph and its parts, sum in other orders


@dataclass(frozen=True)
class NodeAgain:
    """One node of the run outside; ``logged_us``: its time in the call itself, None where that was not known."""

    name: str
    rows: int
    us: int
    logged_us: int | None
    outputs: Batch


@dataclass(frozen=True)
class Replay:
    """``same`` by output: ``bits``, ``close`` or ``different``; those that were masked or not answered are left out.
    ``degraded``: nodes that the answer then had to do without."""

    request_id: str
    service: str
    revision: int
    how: str
    outputs: Batch
    logged: Batch
    same: dict[str, str]
    masked: tuple[str, ...]
    nodes: tuple[NodeAgain, ...]
    status: int
    error: str
    us: dict[str, Any]
    degraded: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing that could be compared differs."""
        return "different" not in self.same.values()


def replay(control: Control, request_id: str) -> Replay:
    """The request's inputs sent to its own revision again, where a replica still has it; else that revision run
    outside. Errors say what was not kept, or cannot run."""
    kept = control.replay(request_id)
    service, revision = kept["service"], kept["revision"]
    outputs, how = from_json(kept["outside"]), "run outside the replicas, for none has it loaded any more"
    if kept["is_loaded"]:
        found = control.calls()
        with Client(found.url, found.key, verify=found.verify) as client:
            try:
                outputs = client.predict(service, from_json(kept["inputs"]), revision=revision).outputs
                how = f"sent to revision {revision} again"
            except AimassError as error:
                how = f"run outside the replicas, for they refused it: {error}"
    if not outputs:
        raise Conflict(f"revision {revision} of {service} does not answer request {request_id}: {kept['why_not']}")
    logged = from_json(kept["logged"])
    times = kept["us"]["nodes"]
    nodes = (
        NodeAgain(item["name"], item["rows"], item["us"], times.get(item["name"]), from_json(item["outputs"]))
        for item in kept["nodes"]
    )
    return Replay(
        request_id=request_id,
        service=service,
        revision=revision,
        how=how,
        outputs=outputs,
        logged=logged,
        same={name: compare(array, outputs[name]) for name, array in logged.items() if name in outputs},
        masked=tuple(kept["masked"]),
        nodes=tuple(nodes),
        status=kept["status"],
        error=kept["error"],
        us=kept["us"],
        degraded=tuple(kept["degraded"]),
    )


def compare(one: Array, other: Array) -> str:
    """``bits``: nothing differs; ``close``: nothing beyond what another order of summing explains; ``different``."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return "different"
    if one.dtype.kind == "O":
        return "bits" if one.tolist() == other.tolist() else "different"
    if one.tobytes() == other.tobytes():
        return "bits"
    is_close = one.dtype.kind == "f" and np.allclose(one, other, RELATIVE, ABSOLUTE, equal_nan=True)
    return "close" if is_close else "different"
