"""What a version says about itself: one JSON document, immutable, digested.

Raising ``FORMAT``: keep one manifest of the old format in tests/registry/golden/, teach ``Manifest.from_json`` to read
it, then change ``to_json`` and the number. Old manifests are never rewritten; a newer one than this is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aimass.core.errors import Invalid
from aimass.core.ids import Digest, digest_of_json
from aimass.core.signature import Signature

FORMAT = 1
KINDS = ("model", "transform", "ensemble")
GRAPH_FILE = "graph.json"


@dataclass(frozen=True)
class Lineage:
    """Where a version comes from; empty strings where it was not trained here."""

    recipe_hash: str = ""
    dataset: str = ""
    dataset_hash: str = ""
    run: str = ""
    parents: tuple[str, ...] = ()  # references such as digits-scale@1: transforms before it, members of it
    packages: Mapping[str, str] = field(default_factory=dict)  # package → version that built it

    def to_json(self) -> dict[str, Any]:
        return {
            "recipe_hash": self.recipe_hash,
            "dataset": self.dataset,
            "dataset_hash": self.dataset_hash,
            "run": self.run,
            "parents": list(self.parents),
            "packages": dict(self.packages),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Lineage":
        return cls(**{**data, "parents": tuple(data["parents"])})


@dataclass(frozen=True)
class Profile:
    """What one call costs on the machine that measured it: µs by rows per call, and memory held while loaded."""

    machine: str
    times_us: Mapping[int, float]  # median per call, by rows
    p95_us: Mapping[int, float]
    memory_bytes: int
    lone_us: float = 0.0  # of one row, when the processor did something else before; 0: not measured

    def time_us(self, rows: int) -> float:
        """Predicted median µs of a call with ``rows``: linear between what was measured, the last slope beyond it."""
        return _interpolate(self.times_us, rows)

    def lone_time_us(self, rows: int) -> float:
        """As ``time_us``, of a call that finds the caches cold: so much more as one row takes then."""
        return self.time_us(rows) + max(0.0, self.lone_us - self.time_us(1))

    def p95_time_us(self, rows: int) -> float:
        """As ``time_us``, for the 95th percentile."""
        return _interpolate(self.p95_us, rows)

    def to_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "times_us": {str(rows): round(time, 2) for rows, time in sorted(self.times_us.items())},
            "p95_us": {str(rows): round(time, 2) for rows, time in sorted(self.p95_us.items())},
            "memory_bytes": self.memory_bytes,
            "lone_us": round(self.lone_us, 2),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Profile":
        return cls(
            machine=data["machine"],
            times_us={int(rows): float(time) for rows, time in data["times_us"].items()},
            p95_us={int(rows): float(time) for rows, time in data["p95_us"].items()},
            memory_bytes=int(data["memory_bytes"]),
            lone_us=float(data.get("lone_us", 0.0)),
        )


def _interpolate(times: Mapping[int, float], rows: int) -> float:
    points = sorted(times.items())
    if len(points) == 1 or rows <= points[0][0]:
        return points[0][1]
    right = next((index for index, (known, _) in enumerate(points) if rows <= known), len(points) - 1)
    (low, low_us), (high, high_us) = points[max(right - 1, 0)], points[right]
    slope = (high_us - low_us) / (high - low)
    if rows > high:
        slope = max(slope, 0.0)  # a noisy last pair must not predict less time for more rows
    return high_us + slope * (rows - high)


@dataclass(frozen=True)
class Manifest:
    """One version of a model, transform or ensemble.

    An ensemble has no runtime; its one file, graph.json, is the canonical JSON of ``graph``: nodes and outputs as a
    service writes them, versions pinned, inputs named by the ensemble's own signature (``$in.x``).
    """

    kind: str
    runtime: str
    files: Mapping[str, Digest]  # name inside the version's folder → artifact
    signature: Signature
    metrics: Mapping[str, float] = field(default_factory=dict)
    data_hash: str = ""  # of the rows that the metrics were measured on
    lineage: Lineage = Lineage()
    profile: Profile | None = None
    description: str = ""
    graph: Mapping[str, Any] | None = None

    @property
    def digest(self) -> Digest:
        """SHA-256 of the canonical JSON."""
        return digest_of_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "kind": self.kind,
            "runtime": self.runtime,
            "files": dict(self.files),
            "signature": self.signature.to_json(),
            "metrics": dict(self.metrics),
            "data_hash": self.data_hash,
            "lineage": self.lineage.to_json(),
            "profile": self.profile.to_json() if self.profile else None,
            "description": self.description,
            "graph": dict(self.graph) if self.graph is not None else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Manifest":
        """The manifest that ``to_json`` wrote; ``Invalid`` for another format."""
        if data.get("format") != FORMAT:
            raise Invalid(
                f"manifest has format {data.get('format')!r}, this AI Mass reads {FORMAT}; update AI Mass",
                field="format",
            )
        profile = data["profile"]
        return cls(
            kind=data["kind"],
            runtime=data["runtime"],
            files={name: Digest(digest) for name, digest in data["files"].items()},
            signature=Signature.from_json(data["signature"]),
            metrics=data["metrics"],
            data_hash=data["data_hash"],
            lineage=Lineage.from_json(data["lineage"]),
            profile=Profile.from_json(profile) if profile else None,
            description=data["description"],
            graph=data["graph"],
        )
