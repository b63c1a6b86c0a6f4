"""A layout: what a replica needs to run a revision under one plan, as a value that travels as JSON."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aimass.core.ids import Digest
from aimass.core.signature import Signature, TensorSpec
from aimass.graph.graph import Port, Source

Read = Callable[[Digest], bytes]
Store = Callable[[bytes], Digest]


@dataclass(frozen=True)
class LayoutNode:
    """One step: a runtime's call (``runtime``, ``files``), or a combiner (``combine``). Its signature names only
    the outputs that somebody takes."""

    name: str
    inputs: tuple[Port, ...]
    signature: Signature
    runtime: str = ""
    files: Mapping[str, Digest] = field(default_factory=dict)
    combine: str = ""
    weights: tuple[float, ...] | None = None
    classes: tuple[int | str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Without what is empty."""
        data: dict[str, Any] = {
            "name": self.name,
            "inputs": [[port, source.node, source.tensor] for port, source in self.inputs],
            "signature": self.signature.to_json(),
        }
        if self.runtime:
            data |= {"runtime": self.runtime, "files": dict(self.files)}
        if self.combine:
            data["combine"] = self.combine
        if self.weights is not None:
            data["weights"] = list(self.weights)
        if self.classes is not None:
            data["classes"] = list(self.classes)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "LayoutNode":
        weights, classes = data.get("weights"), data.get("classes")
        return cls(
            name=data["name"],
            inputs=tuple((port, Source(node, tensor)) for port, node, tensor in data["inputs"]),
            signature=Signature.from_json(data["signature"]),
            runtime=data.get("runtime", ""),
            files=data.get("files", {}),
            combine=data.get("combine", ""),
            weights=None if weights is None else tuple(weights),
            classes=None if classes is None else tuple(classes),
        )


@dataclass(frozen=True)
class Layout:
    """Steps in the order they run; ``outputs`` as the service names them, from ``sources`` one by one."""

    plan: str
    nodes: tuple[LayoutNode, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    sources: tuple[Source, ...]

    @property
    def signature(self) -> Signature:
        return Signature(self.inputs, self.outputs)

    @property
    def digests(self) -> set[Digest]:
        """Every artifact it loads."""
        return {digest for node in self.nodes for digest in node.files.values()}

    def to_json(self) -> dict[str, Any]:
        return {
            "plan": self.plan,
            "nodes": [node.to_json() for node in self.nodes],
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "sources": [[source.node, source.tensor] for source in self.sources],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Layout":
        return cls(
            plan=data["plan"],
            nodes=tuple(LayoutNode.from_json(item) for item in data["nodes"]),
            inputs=tuple(TensorSpec.from_json(item) for item in data["inputs"]),
            outputs=tuple(TensorSpec.from_json(item) for item in data["outputs"]),
            sources=tuple(Source(node, tensor) for node, tensor in data["sources"]),
        )
