"""The checked logical graph: nodes in the order they can run, every reference pinned, every ensemble expanded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aimass.core.ids import Digest
from aimass.core.policies import NO_POLICY, NodePolicy, NodeScale
from aimass.core.signature import Signature, TensorSpec

INPUT = "$in"  # the source of what the caller sends
LABEL = "label"
PROBABILITIES = "probabilities"
MEMBER = "member"  # of a cascade: the index of the member that answered
FEATURES = "features"  # of a stack
STACK = "stack"  # the combiner that puts columns side by side
SELECT = "select"  # the port by which a switch chooses


@dataclass(frozen=True)
class Source:
    """Where a tensor comes from: a node's output, or an input of the service (node ``$in``)."""

    node: str
    tensor: str

    def __str__(self) -> str:
        return f"{self.node}.{self.tensor}"


Port = tuple[str, Source]
"""A node's input and what feeds it. A combiner's and a cascade's ports are called 0, 1, 2, …; a switch's ``select``,
then ``CASE.OUTPUT`` and ``else.OUTPUT``."""


class CostProfile(Protocol):
    """What a version cost on this machine when it was registered."""

    @property
    def memory_bytes(self) -> int:
        """Resident memory that loading it took."""

    def time_us(self, rows: int) -> float:
        """Median time of one call with so many rows."""

    def lone_time_us(self, rows: int) -> float:
        """The median where the processor did something else before: a lone call finds its caches cold."""

    def p95_time_us(self, rows: int) -> float:
        """The 95th percentile, one call after another."""


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
    """One model, transform, combiner or choice between branches."""

    name: str
    kind: str  # model, transform, combine, switch, cascade
    inputs: tuple[Port, ...]
    signature: Signature
    ref: str = ""
    runtime: str = ""
    files: Mapping[str, Digest] = field(default_factory=dict)
    combine: str = ""
    weights: tuple[float, ...] | None = None
    classes: tuple[int | str, ...] | None = None
    quorum: int | None = None  # the fewest members that a combiner goes on with
    on_missing: str = ""  # renormalise; empty: every member is needed
    cases: tuple[str, ...] = ()  # of a switch, beside else
    thresholds: tuple[float, ...] = ()  # of a cascade, one per member but the last
    temperatures: tuple[float, ...] = ()  # the same
    policy: NodePolicy = NO_POLICY
    essential: bool = False  # its failure is the call's, although every combiner could go on without it
    placement: str = ""  # merged, fused, fanout; empty: as the service's
    scale: NodeScale | None = None  # of a fan-out node; None: one replica


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
        """Of each node, the outputs that somebody takes; a stand-in's are those of whom it stands in for too."""
        taken: dict[str, set[str]] = {node.name: set() for node in self.nodes}
        sources = [source for node in self.nodes for _, source in node.inputs]
        for source in (*sources, *self.sources):
            if source.node != INPUT:
                taken[source.node].add(source.tensor)
        for node in reversed(self.nodes):  # a stand-in comes before
            if node.policy.fallback:
                taken[node.policy.fallback] |= taken[node.name]
        return taken
