"""A layout: what a replica needs to run a revision under one plan, as a value that travels as JSON."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aimass.core.ids import Digest
from aimass.core.policies import NO_POLICY, ONE_REPLICA, NodePolicy, NodeScale
from aimass.core.signature import Signature, TensorSpec
from aimass.graph.graph import Port, Source

Read = Callable[[Digest], bytes]
Store = Callable[[bytes], Digest]


@dataclass(frozen=True)
class Choice:
    """How a node chooses, for each row, which of its ports answers.

    ``switch``: by the values of port ``select``, one of ``cases`` or else. ``cascade``: the first port whose confidence
    (the largest probability at the port's temperature) reaches its threshold, else the last.
    """

    kind: str  # switch, cascade
    cases: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()  # one per member but the last
    temperatures: tuple[float, ...] = ()  # the same

    def to_json(self) -> dict[str, Any]:
        return {key: value if isinstance(value, str) else list(value) for key, value in vars(self).items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Choice":
        rest = {key: tuple(value) for key, value in data.items() if key != "kind"}
        return cls(data["kind"], **rest)


@dataclass(frozen=True)
class LayoutNode:
    """One step: a runtime's call (``runtime``, ``files``), a combiner (``combine``), a choice between its ports
    (``choice``), or a call to a deployment of its own (``remote``). Its signature names only the outputs that somebody
    takes. ``branches`` are steps that run only for the rows that choose a port, or ("fallback") when this one fails;
    they may read whatever runs before this node, and each other."""

    name: str
    inputs: tuple[Port, ...]
    signature: Signature
    runtime: str = ""
    files: Mapping[str, Digest] = field(default_factory=dict)
    combine: str = ""
    weights: tuple[float, ...] | None = None
    classes: tuple[int | str, ...] | None = None
    quorum: int | None = None
    on_missing: str = ""  # renormalise, fail; empty: by the quorum
    choice: Choice | None = None
    branches: Mapping[str, "tuple[LayoutNode, ...]"] = field(default_factory=dict)
    policy: NodePolicy = NO_POLICY
    remote: str = ""  # the deployment that runs it, in the revision's own Serve application

    def to_json(self) -> dict[str, Any]:
        """Without what is empty."""
        data: dict[str, Any] = {
            "name": self.name,
            "inputs": [[port, source.node, source.tensor] for port, source in self.inputs],
            "signature": self.signature.to_json(),
        }
        if self.runtime:
            data |= {"runtime": self.runtime, "files": dict(self.files)}
        for key in ("combine", "quorum", "on_missing", "remote"):
            if getattr(self, key):
                data[key] = getattr(self, key)
        if self.weights is not None:
            data["weights"] = list(self.weights)
        if self.classes is not None:
            data["classes"] = list(self.classes)
        if self.choice is not None:
            data["choice"] = self.choice.to_json()
        if self.branches:
            data["branches"] = {port: [node.to_json() for node in nodes] for port, nodes in self.branches.items()}
        if self.policy != NO_POLICY:
            data["policy"] = self.policy.to_json()
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "LayoutNode":
        weights, classes, choice = data.get("weights"), data.get("classes"), data.get("choice")
        return cls(
            name=data["name"],
            inputs=tuple((port, Source(node, tensor)) for port, node, tensor in data["inputs"]),
            signature=Signature.from_json(data["signature"]),
            runtime=data.get("runtime", ""),
            files=data.get("files", {}),
            combine=data.get("combine", ""),
            weights=None if weights is None else tuple(weights),
            classes=None if classes is None else tuple(classes),
            quorum=data.get("quorum"),
            on_missing=data.get("on_missing", ""),
            choice=None if choice is None else Choice.from_json(choice),
            branches={
                port: tuple(cls.from_json(item) for item in nodes) for port, nodes in data.get("branches", {}).items()
            },
            policy=NodePolicy.from_json(data.get("policy", {})),
            remote=data.get("remote", ""),
        )

    def nodes_all(self) -> "Iterator[LayoutNode]":
        """It, and whatever its branches hold."""
        yield self
        for nodes in self.branches.values():
            for node in nodes:
                yield from node.nodes_all()


@dataclass(frozen=True)
class Fanout:
    """One deployment of the revision's own application: what it runs, and its size."""

    layout: "Layout"
    scale: NodeScale = ONE_REPLICA


@dataclass(frozen=True)
class Layout:
    """Steps in the order they run; ``outputs`` as the service names them, from ``sources`` one by one. ``apps``: the
    deployments that its remote steps name."""

    plan: str
    nodes: tuple[LayoutNode, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    sources: tuple[Source, ...]
    apps: Mapping[str, Fanout] = field(default_factory=dict)

    @property
    def signature(self) -> Signature:
        return Signature(self.inputs, self.outputs)

    @property
    def digests(self) -> set[Digest]:
        """Every artifact it loads, here or in its deployments."""
        found = {digest for node in self.nodes_all() for digest in node.files.values()}
        return found.union(*(fanout.layout.digests for fanout in self.apps.values()))

    def nodes_all(self) -> Iterator[LayoutNode]:
        """Every step, those of branches too."""
        for node in self.nodes:
            yield from node.nodes_all()

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "plan": self.plan,
            "nodes": [node.to_json() for node in self.nodes],
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "sources": [[source.node, source.tensor] for source in self.sources],
        }
        if self.apps:
            data["apps"] = {
                name: {"layout": fanout.layout.to_json(), "scale": fanout.scale.to_json()}
                for name, fanout in self.apps.items()
            }
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Layout":
        return cls(
            plan=data["plan"],
            nodes=tuple(LayoutNode.from_json(item) for item in data["nodes"]),
            inputs=tuple(TensorSpec.from_json(item) for item in data["inputs"]),
            outputs=tuple(TensorSpec.from_json(item) for item in data["outputs"]),
            sources=tuple(Source(node, tensor) for node, tensor in data["sources"]),
            apps={
                name: Fanout(cls.from_json(item["layout"]), NodeScale.from_json(item["scale"]))
                for name, item in data.get("apps", {}).items()
            },
        )
