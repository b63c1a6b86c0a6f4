"""The checked logical graph: nodes in the order they can run, every reference pinned, every ensemble expanded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aimass.core.ids import Digest
from aimass.core.signature import Signature, TensorSpec

INPUT = "$in"  # the source of what the caller sends


@dataclass(frozen=True)
class Source:
    """Where a tensor comes from: a node's output, or an input of the service (node ``$in``)."""

    node: str
    tensor: str

    def __str__(self) -> str:
        return f"{self.node}.{self.tensor}"


Port = tuple[str, Source]
"""A node's input and what feeds it; a combiner's ports are called 0, 1, 2, …"""


class CostProfile(Protocol):
    """What a version cost on this machine when it was registered."""

    @property
    def memory_bytes(self) -> int:
        """Resident memory that loading it took."""

    def time_us(self, rows: int) -> float:
        """Median time of one call with so many rows."""

    def p95_time_us(self, rows: int) -> float:
        """Its 95th percentile."""


@dataclass(frozen=True)
class ModelInfo:
    """What the graph must know of a registered version; ``graph`` is an ensemble's sub-graph document."""

    ref: str  # pinned: name@3
    kind: str  # model, transform, ensemble
    runtime: str
    files: Mapping[str, Digest]
    signature: Signature
    graph: Mapping[str, Any] | None = None
    profile: CostProfile | None = None


@dataclass(frozen=True)
class Node:
    """One model, transform or combiner."""

    name: str
    kind: str  # model, transform, combine
    inputs: tuple[Port, ...]
    signature: Signature
    ref: str = ""
    runtime: str = ""
    files: Mapping[str, Digest] = field(default_factory=dict)
    combine: str = ""
    weights: tuple[float, ...] | None = None
    classes: tuple[int | str, ...] | None = None


@dataclass(frozen=True)
class Graph:
    """``outputs`` are named as the service names them, and come from ``sources`` one by one. ``profiles`` (pinned
    reference → profile) are measurements, not part of what the graph is."""

    inputs: tuple[TensorSpec, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[TensorSpec, ...]
    sources: tuple[Source, ...]
    profiles: Mapping[str, CostProfile] = field(default_factory=dict, compare=False)

    @property
    def signature(self) -> Signature:
        return Signature(self.inputs, self.outputs)

    @property
    def refs(self) -> tuple[str, ...]:
        """The pinned versions it runs, each once, in order."""
        return tuple(dict.fromkeys(node.ref for node in self.nodes if node.ref))

    def needed(self) -> dict[str, set[str]]:
        """Of each node, the outputs that somebody takes."""
        taken: dict[str, set[str]] = {node.name: set() for node in self.nodes}
        sources = [source for node in self.nodes for _, source in node.inputs]
        for source in (*sources, *self.sources):
            if source.node != INPUT:
                taken[source.node].add(source.tensor)
        return taken
