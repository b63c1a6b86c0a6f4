"""What is to be seen of a graph: boxes and the lines between them, as values that travel as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aimass.core.policies import NodeScale
from aimass.graph.graph import INPUT, SELECT, Graph, Node
from aimass.graph.missing import optional
from aimass.graph.regions import lazy_port, regions

NEEDED, LAZY, FALLBACK = "needed", "lazy", "fallback"  # kinds of lines


@dataclass(frozen=True)
class Box:
    """``kind`` is a node's, or input, or output; ``what`` the version, the combiner, the datatype; ``runs`` is merged,
    fused or fanout, and empty where there is no plan. A lazy box runs only for rows that choose it, or when somebody
    fails."""

    key: str
    name: str
    kind: str
    what: str = ""
    runs: str = ""
    lazy: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """From one box (``source``) to another (``target``); ``ports`` are those that it feeds."""

    source: str
    target: str
    kind: str
    tensors: tuple[str, ...]
    ports: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """Boxes, each after those that feed it, and lines. ``plan`` is empty where none can be had: ``why`` says so."""

    service: str
    revision: int | None
    plan: str
    why: str
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Picture":
        return cls(
            data["service"],
            data["revision"],
            data["plan"],
            data["why"],
            tuple(Box(**{**item, "notes": tuple(item["notes"])}) for item in data["boxes"]),
            tuple(
                Line(**{**item, "tensors": tuple(item["tensors"]), "ports": tuple(item["ports"])})
                for item in data["lines"]
            ),
        )


def picture_of(
    graph: Graph, runs: Mapping[str, str], service: str, revision: int | None = None, plan: str = "", why: str = ""
) -> Picture:
    """``runs``: node → merged, fused or fanout, where there is a plan."""
    return Picture(service, revision, plan, why, _boxes(graph, runs), _lines(graph))


def _boxes(graph: Graph, runs: Mapping[str, str]) -> tuple[Box, ...]:
    """Inputs, nodes, outputs."""
    found, lost = regions(graph), optional(graph)
    boxes = [
        Box(f"{INPUT}.{spec.name}", spec.name, "input", f"{spec.datatype} {list(spec.shape)}") for spec in graph.inputs
    ]
    for node in graph.nodes:
        notes = (*_notes(node), *(["may be lost"] if node.ref and node.name in lost else []))
        how, what = runs.get(node.name, ""), node.ref or node.combine
        lazy = found[node.name] is not None and how != "merged"  # a merged graph runs whole
        boxes.append(Box(node.name, node.name, node.kind, what, how, lazy, notes))
    boxes += [
        Box(f"$out.{spec.name}", spec.name, "output", f"{spec.datatype} {list(spec.shape)}") for spec in graph.outputs
    ]
    return tuple(boxes)


def _lines(graph: Graph) -> tuple[Line, ...]:
    """One line for all tensors that go the same way for the same reason."""
    found: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for node in graph.nodes:
        for port, source in node.inputs:
            key = str(source) if source.node == INPUT else source.node
            kind = NEEDED if lazy_port(node, port) is None else LAZY
            found.setdefault((key, node.name, kind), []).append((source.tensor, port))
        if node.policy.fallback:
            found[node.policy.fallback, node.name, FALLBACK] = []
    for spec, source in zip(graph.outputs, graph.sources, strict=True):
        found[source.node, f"$out.{spec.name}", NEEDED] = [(source.tensor, spec.name)]
    return tuple(
        Line(source, target, kind, tuple(dict.fromkeys(name for name, _ in fed)), tuple(port for _, port in fed))
        for (source, target, kind), fed in found.items()
    )


def label_of(line: Line) -> str:
    """What stands at a line that is not simply needed: the cases or the member that it is for."""
    if line.kind == NEEDED:
        return SELECT if line.ports == (SELECT,) else ""
    cases = dict.fromkeys(port.rpartition(".")[0] or port for port in line.ports)
    return FALLBACK if line.kind == FALLBACK else ", ".join(cases)


def _notes(node: Node) -> Iterator[str]:
    if node.weights is not None:
        yield f"weights {_numbers(node.weights)}"
    if node.quorum is not None:
        yield f"quorum {node.quorum} of {len(node.inputs)}"
    if node.thresholds:
        yield f"sure at {_numbers(node.thresholds)}"
    if node.temperatures:
        yield f"temperatures {_numbers(node.temperatures)}"
    if node.scale is not None:
        yield from _size(node.scale)
    policy = node.policy
    if policy.deadline_ms is not None:
        yield f"{policy.deadline_ms:g} ms"
    if policy.retries:
        yield f"{policy.retries} retries" if policy.retries > 1 else "1 retry"
    if policy.hedge_after_ms is not None:
        yield f"hedged after {policy.hedge_after_ms:g} ms"
    if policy.breaker is not None:
        yield f"breaker at {policy.breaker.failures}"


def _size(scale: NodeScale) -> Iterator[str]:
    bounds = f"{scale.min} to {scale.max}" if scale.max != scale.min else f"{scale.max}"
    yield f"{bounds} replicas" if scale.max > 1 or scale.min == 0 else "1 replica"
    if scale.gpus:
        yield f"{scale.gpus:g} GPU"


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
