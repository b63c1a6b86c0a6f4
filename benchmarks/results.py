"""What was measured, where and when, as values and as one JSON file. Knows nothing of how."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1


@dataclass(frozen=True)
class Measurement:
    """One run of the load generator against one peer."""

    peer: str
    workload: str
    connections: int
    round: int  # rounds count from 1; a sweep over connections is round 0
    requests_per_s: float
    p50_us: int
    p99_us: int
    latency_us: tuple[int, ...] = ()  # at the percentiles of load.POINTS


@dataclass(frozen=True)
class Start:
    """Seconds from `aimass up` to the first answer of a service that was deployed before."""

    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Results:
    """One run of the benchmark."""

    date: str
    machine: dict[str, Any]
    options: dict[str, Any]
    titles: dict[str, str]
    measurements: tuple[Measurement, ...]
    start: Start | None = None
    stolen_percent: float = 0.0  # CPU time that the hypervisor gave to others while this ran
    points: tuple[float, ...] = field(default=())

    def of(self, peer: str, workload: str, connections: int) -> dict[int, Measurement]:
        """By round, the sweep left out."""
        return {
            item.round: item
            for item in self.measurements
            if (item.peer, item.workload, item.connections) == (peer, workload, connections) and item.round
        }

    def sweep(self, peer: str, workload: str) -> list[Measurement]:
        """By connections."""
        found = [item for item in self.measurements if (item.peer, item.workload, item.round) == (peer, workload, 0)]
        return sorted(found, key=lambda item: item.connections)

    def peers(self, workload: str) -> list[str]:
        """Those that were measured on it, in the order of the titles."""
        measured = {item.peer for item in self.measurements if item.workload == workload}
        return [peer for peer in self.titles if peer in measured]

    def write(self, path: Path) -> None:
        """One measurement a line, so that two files can be compared."""
        data = asdict(self)
        lines = data.pop("measurements")
        head = json.dumps({"format": FORMAT, **data}, indent=1)[:-2]
        path.write_text(f'{head},\n "measurements": [\n{_lines(lines)}\n ]\n}}\n', encoding="utf-8")


def read(path: Path) -> Results:
    """The results of a file."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if data.pop("format") != FORMAT:
        raise ValueError(f"{path} has another format than {FORMAT}; measure again")
    data["measurements"] = tuple(
        Measurement(**{**item, "latency_us": tuple(item["latency_us"])}) for item in data["measurements"]
    )
    data["points"] = tuple(data["points"])
    data["start"] = Start(tuple(data["start"]["seconds"])) if data["start"] else None
    return Results(**data)


def _lines(items: Iterable[dict[str, Any]]) -> str:
    return ",\n".join("  " + json.dumps(item, separators=(",", ":")) for item in items)
