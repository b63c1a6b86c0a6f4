"""Services written in Python: the same document as a service.yaml, with every mistake at the line that makes it.

``GraphBuilder`` gives a ``ServiceSpec``, and the YAML that ``aimass deploy`` and ``Control.deploy`` take; both come to
the revision that the same document written by hand comes to. It knows no registry: whether a version exists, and what
its outputs are called, shows when the service is deployed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypedDict, TypeVar, Unpack

import yaml
from pydantic import ValidationError

from aimass.core.errors import Invalid
from aimass.core.ids import check_name
from aimass.core.signature import Datatype
from aimass.graph.build import check_all_used
from aimass.graph.checks.private import check_private
from aimass.graph.document.nodes import NodeSpec
from aimass.graph.document.parts import Part
from aimass.graph.document.payloads import PayloadsSpec
from aimass.graph.document.policies import ReplicasSpec
from aimass.graph.graph import FEATURES, INPUT, LABEL, MEMBER, PROBABILITIES, STACK
from aimass.graph.places import Place
from aimass.graph.spec import InputSpec, LimitsSpec, ServiceSpec, SloSpec

P = TypeVar("P", bound=Part)
NodePlacement = Literal["merged", "fused", "fanout"]
_KEYS = ("service", "graph", "placement", "replicas", "limits", "slo", "payloads")
_NODE_KEYS = ("combine", "model", "transform", "cascade", "switch", "cases", "else", "inputs")


@dataclass(frozen=True)
class Tensor:
    """What a node gives or a caller sends, to be read by other nodes."""

    builder: "GraphBuilder"
    source: str  # NODE.OUTPUT or $in.INPUT


@dataclass(frozen=True)
class BuiltNode:
    """A node of the graph; ``node["probabilities"]`` is one of its outputs."""

    builder: "GraphBuilder"
    name: str
    outputs: tuple[str, ...] | None  # None: as registered

    def __getitem__(self, output: str) -> Tensor:
        if self.outputs is not None and output not in self.outputs:
            raise Invalid(f"node {self.name!r} has no output {output!r}; it has: {', '.join(self.outputs)}")
        return Tensor(self.builder, f"{self.name}.{output}")


class PictureKeys(TypedDict, total=False):
    height: int
    width: int
    low: float
    high: float
    ink: Literal["dark", "light"]


class RaggedKeys(TypedDict, total=False):
    axis: int
    buckets: Sequence[int]
    pad: float


class InputKeys(TypedDict, total=False):
    allow_missing: bool
    picture: PictureKeys | None
    ragged: RaggedKeys | None


class BreakerKeys(TypedDict, total=False):
    failures: int
    reset_s: float


class ReplicasKeys(TypedDict, total=False):
    min: int
    max: int
    target_ongoing: float
    policy: str
    policy_options: Mapping[str, Any]


class LimitsKeys(TypedDict, total=False):
    deadline_ms: float
    max_queue: int
    max_batch: int
    max_concurrent: int
    batch_rows: int
    max_wait_ms: float
    pinned: bool


class SloKeys(TypedDict, total=False):
    p95_ms: float
    error_rate: float
    load_rps: float


class PrivateKeys(TypedDict, total=False):
    mask: Sequence[str]
    encrypt: Sequence[str]


class PayloadsKeys(TypedDict, total=False):
    sample: float
    keep_days: float
    keep_mb: float
    private: PrivateKeys


class _Treatment(TypedDict, total=False):
    required: bool
    deadline_ms: float
    retries: int
    hedge_after_ms: float
    breaker: BreakerKeys
    placement: NodePlacement
    replicas: ReplicasKeys
    cpus: float
    gpus: float


class MemberKeys(_Treatment, total=False):
    """What a node inside an ensemble may be told."""

    fallback: str  # a node of the same ensemble
    quorum: int
    on_missing: Literal["renormalise", "fail"]
    members: "Mapping[str, MemberKeys]"


class Treatment(_Treatment, total=False):
    """What a model or transform may be told beside what it is; the keys of service.yaml."""

    fallback: BuiltNode
    members: Mapping[str, MemberKeys]


class CombineKeys(TypedDict, total=False):
    weights: Sequence[float]
    classes: Sequence[int] | Sequence[str]
    quorum: int
    on_missing: Literal["renormalise", "fail"]
    placement: NodePlacement


class CascadeKeys(TypedDict, total=False):
    threshold: float
    thresholds: Sequence[float]
    temperatures: Sequence[float]
    classes: Sequence[int] | Sequence[str]
    placement: NodePlacement


class GraphBuilder:
    """One service. Nodes read what was built before them, so there is neither a cycle nor an edge into nothing.

    Whatever a document would be refused for is ``Invalid`` at once, with the field that service.yaml would have.
    """

    def __init__(self, service: str, placement: Literal["auto", "merged", "fused", "fanout"] = "auto") -> None:
        check_name(service, "service", "service")
        self._document: dict[str, Any] = {"service": service}
        if placement != "auto":
            self._document["placement"] = placement
        self._inputs: dict[str, InputSpec] = {}
        self._nodes: dict[str, NodeSpec] = {}
        self._outputs: dict[str, str] = {}

    def input(self, name: str, datatype: Datatype | str, shape: Sequence[int], **more: Unpack[InputKeys]) -> Tensor:
        """One tensor that callers send; ``shape`` begins with -1, the rows."""
        self._check_new("inputs", name, self._inputs)
        said: dict[str, Any] = {"datatype": datatype, "shape": tuple(shape)}
        said |= {key: value for key, value in more.items() if value}
        self._inputs[name] = _made(InputSpec, f"graph.inputs.{name}", said)
        return Tensor(self, f"{INPUT}.{name}")

    def model(self, name: str, ref: str, inputs: Mapping[str, Tensor], **treatment: Unpack[Treatment]) -> BuiltNode:
        """A registered model or ensemble, MODEL@VERSION or MODEL@ALIAS; ``inputs`` by the names that it has."""
        return self._call(name, {"model": ref, "inputs": self._read_all(inputs)}, treatment)

    def transform(self, name: str, ref: str, inputs: Mapping[str, Tensor], **treatment: Unpack[Treatment]) -> BuiltNode:
        """A registered transform."""
        return self._call(name, {"transform": ref, "inputs": self._read_all(inputs)}, treatment)

    def combine(self, name: str, how: str, members: Sequence[Tensor], **keys: Unpack[CombineKeys]) -> BuiltNode:
        """``how``: mean, weighted, vote, median, rank, stack, or module:attribute."""
        outputs = (FEATURES,) if how == STACK else (LABEL, PROBABILITIES)
        return self._add(name, {"combine": how, "inputs": self._list(members), **keys}, outputs)

    def stacking(self, name: str, ref: str, inputs: Sequence[Tensor], **treatment: Unpack[Treatment]) -> BuiltNode:
        """The model ``ref`` over other nodes' outputs side by side."""
        return self._call(name, {"combine": "stacking", "model": ref, "inputs": self._list(inputs)}, treatment)

    def cascade(self, name: str, members: Sequence[Tensor], **keys: Unpack[CascadeKeys]) -> BuiltNode:
        """Members from the cheapest to the best; rows go on while a member's confidence is below its threshold."""
        return self._add(name, {"cascade": self._list(members), **keys}, (LABEL, PROBABILITIES, MEMBER))

    def switch(
        self,
        name: str,
        select: Tensor,
        cases: Mapping[str | int | bool, Mapping[str, Tensor]],
        otherwise: Mapping[str, Tensor],
    ) -> BuiltNode:
        """For each row the outputs of the case that ``select`` names, else ``otherwise``."""
        branches = {_case(case): self._read_all(outputs) for case, outputs in cases.items()}
        if len(branches) < len(cases):
            raise Invalid(f"graph.nodes.{name}.cases: two of them are the same", field=f"graph.nodes.{name}.cases")
        said = {"switch": self._read(select), "cases": branches, "else": self._read_all(otherwise)}
        return self._add(name, said, tuple(otherwise))

    def output(self, name: str, tensor: Tensor) -> Self:
        """One tensor that callers get."""
        self._check_new("outputs", name, self._outputs)
        if name in self._inputs:
            raise Invalid(f"graph: {name!r} is an input and an output; give one of them another name", field="graph")
        source = self._read(tensor)
        if source.startswith(INPUT):
            raise Invalid(f"graph.outputs.{name}: an output comes from a node", field=f"graph.outputs.{name}")
        self._outputs[name] = source
        return self

    def replicas(self, **keys: Unpack[ReplicasKeys]) -> Self:
        """Of every fan-out node that has none of its own."""
        return self._set("replicas", ReplicasSpec, keys)

    def limits(self, **keys: Unpack[LimitsKeys]) -> Self:
        """What one replica of the gateway grants the service."""
        return self._set("limits", LimitsSpec, keys)

    def slo(self, **keys: Unpack[SloKeys]) -> Self:
        """What the operator promises."""
        return self._set("slo", SloSpec, keys)

    def payloads(self, **keys: Unpack[PayloadsKeys]) -> Self:
        """Which calls are kept with their inputs and outputs."""
        return self._set("payloads", PayloadsSpec, keys)

    def spec(self) -> ServiceSpec:
        """The service; ``Invalid`` while something is missing, or is there for nobody."""
        graph = {"inputs": self._inputs, "nodes": self._nodes, "outputs": self._outputs}
        spec = _made(ServiceSpec, "", {**self._document, "graph": graph})
        check_all_used(spec, Place(None).at("graph"))
        check_private(spec, Place(None))
        return spec

    def yaml(self) -> str:
        """The service.yaml."""
        data = self.spec().model_dump(mode="json", by_alias=True, exclude_unset=True)
        graph = data["graph"]
        for name, node in graph["nodes"].items():
            if "combine" in node:
                node["inputs"] = list(node["inputs"].values())
            graph["nodes"][name] = {key: node[key] for key in sorted(node, key=_place_in_node)}
        data["graph"] = {key: graph[key] for key in ("inputs", "nodes", "outputs")}
        ordered = {key: data[key] for key in sorted(data, key=_KEYS.index)}
        text: str = yaml.safe_dump(ordered, sort_keys=False, default_flow_style=None, width=110)
        return text

    def _call(self, name: str, said: dict[str, Any], treatment: Treatment) -> BuiltNode:
        given: dict[str, Any] = {**said, **treatment}
        if "fallback" in treatment:
            fallback = treatment["fallback"]
            self._check_ours(fallback.builder, fallback.name)
            given["fallback"] = fallback.name
        return self._add(name, given, None)

    def _add(self, name: str, said: dict[str, Any], outputs: tuple[str, ...] | None) -> BuiltNode:
        check_name(name, "node", f"graph.nodes.{name}")
        self._check_new("nodes", name, self._nodes)
        self._nodes[name] = _made(NodeSpec, f"graph.nodes.{name}", said)
        return BuiltNode(self, name, outputs)

    def _set(self, key: str, model: type[Part], said: Mapping[str, Any]) -> Self:
        self._document[key] = _made(model, key, dict(said))
        return self

    def _read(self, tensor: Tensor) -> str:
        self._check_ours(tensor.builder, tensor.source)
        return tensor.source

    def _read_all(self, tensors: Mapping[str, Tensor]) -> dict[str, str]:
        return {name: self._read(tensor) for name, tensor in tensors.items()}

    def _list(self, tensors: Sequence[Tensor]) -> list[str]:
        return [self._read(tensor) for tensor in tensors]

    def _check_ours(self, builder: "GraphBuilder", what: str) -> None:
        if builder is not self:
            raise Invalid(f"{what} is of another service; a graph reads only its own nodes and inputs")

    def _check_new(self, where: str, name: str, known: Mapping[str, object]) -> None:
        if name in known:
            raise Invalid(f"graph.{where}.{name}: given twice", field=f"graph.{where}.{name}")


def _place_in_node(key: str) -> tuple[int, str]:
    return (_NODE_KEYS.index(key), "") if key in _NODE_KEYS else (len(_NODE_KEYS), key)


def _case(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _made(model: type[P], where: str, said: Mapping[str, Any]) -> P:
    try:
        return model.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in ((where,) if where else ()) + first["loc"] if part != "[key]")
        raise Invalid(f"{field}: {first['msg'].removeprefix('Value error, ')}", field=field) from None
