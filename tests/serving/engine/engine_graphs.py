"""Small graphs of arithmetic nodes, random ones too, and what each must answer: row by row, by demand, in plain Python.

Every tensor but the selector is FP32 [-1, 3] and every row of it sums to one, so that anything can feed anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from aimass.core.batch import Array, Batch
from aimass.core.policies import NO_POLICY, Breaker, NodePolicy
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.graph.graph import INPUT, LABEL, MEMBER, PROBABILITIES, SELECT, Graph, Node, Source
from aimass.serving.combining import Combine
from aimass.serving.engine.frames import Predict
from aimass.serving.layout import Layout, LayoutNode
from aimass.serving.loader import LoadedPlan
from aimass.serving.plans.steps import steps_of

CLASSES = 3
X = Source(INPUT, "x")
KIND = Source(INPUT, "kind")
INPUTS = (TensorSpec("x", Datatype.FP32, (-1, CLASSES)), TensorSpec("kind", Datatype.INT64, (-1,)))
CHANCES = TensorSpec(PROBABILITIES, Datatype.FP32, (-1, CLASSES))
LABELS = TensorSpec(LABEL, Datatype.INT64, (-1,))
MEMBERS = TensorSpec(MEMBER, Datatype.INT64, (-1,))

Row = Mapping[str, Any]


def of(name: str) -> Source:
    return X if name == "x" else Source(name, PROBABILITIES)


def _ports(names: Sequence[str]) -> tuple[tuple[str, Source], ...]:
    return tuple((str(index), of(name)) for index, name in enumerate(names))


def _signature(ports: Sequence[tuple[str, Source]], *outputs: TensorSpec) -> Signature:
    return Signature(tuple(replace(CHANCES, name=port) for port, _ in ports), outputs)


def model(name: str, *reads: str, policy: NodePolicy = NO_POLICY) -> Node:
    ports = _ports(reads)
    return Node(name, "model", ports, _signature(ports, CHANCES), ref=f"{name}@1", runtime="onnx", policy=policy)


def combine(name: str, *reads: str, quorum: int | None = None, weights: tuple[float, ...] | None = None) -> Node:
    ports = _ports(reads)
    how = "weighted" if weights else "mean"
    signature = _signature(ports, LABELS, CHANCES)
    return Node(name, "combine", ports, signature, combine=how, weights=weights, quorum=quorum)


def cascade(
    name: str, *reads: str, thresholds: tuple[float, ...], temperatures: tuple[float, ...] = (), classes: Any = None
) -> Node:
    ports = _ports(reads)
    signature = _signature(ports, LABELS, CHANCES, MEMBERS)
    return Node(name, "cascade", ports, signature, thresholds=thresholds, temperatures=temperatures, classes=classes)


def switch(name: str, cases: Mapping[str, str]) -> Node:
    """``cases``: case, or else, → node. By the service's input ``kind``."""
    ports = [(f"{case}.{PROBABILITIES}", of(read)) for case, read in cases.items()]
    inputs = (replace(INPUTS[1], name=SELECT), *(replace(CHANCES, name=port) for port, _ in ports))
    named = tuple(case for case in cases if case != "else")
    return Node(name, "switch", ((SELECT, KIND), *ports), Signature(inputs, (CHANCES,)), cases=named)


def graph(*nodes: Node, outputs: Sequence[str] = (PROBABILITIES,)) -> Graph:
    """The last node's outputs are the service's."""
    known = {spec.name: spec for spec in nodes[-1].signature.outputs}
    sources = tuple(Source(nodes[-1].name, name) for name in outputs)
    return Graph(INPUTS, nodes, tuple(known[name] for name in outputs), sources)


def predict(name: str) -> Predict:
    """A model's arithmetic; its name decides the constants. No row sees another."""
    first, second = 1.0 + sum(name.encode()) % 7, 1 + sum(name.encode()) % 2

    def call(batch: Batch) -> Batch:
        total = np.full_like(next(iter(batch.values())), 0.05)
        for index, x in enumerate(batch.values()):
            total += np.float32(first + index) * np.roll(x, second, axis=1) ** 2
        return {PROBABILITIES: total / (total[:, :1] + total[:, 1:2] + total[:, 2:])}

    return call


def calls_of(layout: Layout, wrap: Callable[[str, Predict], Predict] = lambda _, call: call) -> dict[str, Predict]:
    """What each node that runs here calls."""
    calls: dict[str, Predict] = {}
    for node in layout.nodes_all():
        if node.combine:
            calls[node.name] = Combine(node.combine, node.weights, node.classes, node.signature, node.quorum)
        elif node.choice is None and not node.remote:
            calls[node.name] = wrap(node.name, predict(node.name))
    return calls


def layout_of(found: Graph, remote: Callable[[str], bool] = lambda _: False) -> Layout:
    """Nodes that are ``remote`` run in deployments called as they are."""

    def change(node: Node, step: LayoutNode) -> LayoutNode:
        return replace(step, runtime="", remote=node.name) if node.kind == "model" and remote(node.name) else step

    return Layout("fused", steps_of(found, change), found.inputs, found.outputs, found.sources)


def plan_of(found: Graph, wrap: Callable[[str, Predict], Predict] = lambda _, call: call) -> LoadedPlan:
    layout = layout_of(found)
    return LoadedPlan(layout, calls_of(layout, wrap), [])


def rows(count: int, seed: int = 0) -> Batch:
    generator = np.random.default_rng(seed)
    x = generator.dirichlet(np.full(CLASSES, 0.4), count).astype(np.float32)
    return {"x": x, "kind": generator.integers(-1, 4, count)}


class Oracle:
    """One row's answer, asked for from the end; ``ran`` says which models that took. ``lost`` ones answer nothing."""

    def __init__(self, found: Graph, batch: Batch, row: int, lost: frozenset[str] = frozenset()) -> None:
        self._nodes = {node.name: node for node in found.nodes}
        self._batch = {name: array[row : row + 1] for name, array in batch.items()}
        self._lost = lost
        self._known: dict[str, dict[str, Array] | None] = {}
        self.ran: set[str] = set()

    def give(self, source: Source) -> Array | None:
        if source.node == INPUT:
            return self._batch[source.tensor]
        if source.node not in self._known:
            node = self._nodes[source.node]
            given = getattr(self, f"_{node.kind}")(node)
            if given is None and node.policy.fallback:
                stand_in = self.give(Source(node.policy.fallback, PROBABILITIES))
                given = None if stand_in is None else {PROBABILITIES: stand_in}
            self._known[source.node] = given
        known = self._known[source.node]
        return None if known is None else known[source.tensor]

    def _model(self, node: Node) -> dict[str, Array] | None:
        inputs = {port: self.give(source) for port, source in node.inputs}
        self.ran.add(node.name)
        if node.name in self._lost or any(array is None for array in inputs.values()):
            return None
        return predict(node.name)({port: array for port, array in inputs.items() if array is not None})

    def _combine(self, node: Node) -> dict[str, Array] | None:
        given = [self.give(source) for _, source in node.inputs]
        there = [(array, index) for index, array in enumerate(given) if array is not None]
        if len(there) < (len(given) if node.quorum is None else node.quorum):
            return None
        weights = node.weights or (1.0,) * len(given)
        total = sum(weights[index] for _, index in there)
        if total == 0:
            return None
        best = sum(array.astype(np.float64) * weights[index] for array, index in there) / total
        return {PROBABILITIES: np.asarray(best, np.float32), LABEL: np.argmax(best, axis=1)}

    def _switch(self, node: Node) -> dict[str, Array] | None:
        sources = dict(node.inputs)
        kind = str(int(self._batch["kind"][0]))
        case = kind if kind in node.cases else "else"
        given = self.give(sources[f"{case}.{PROBABILITIES}"])
        return None if given is None else {PROBABILITIES: given}

    def _cascade(self, node: Node) -> dict[str, Array] | None:
        answer = None
        for index, (_, source) in enumerate(node.inputs):
            given = self.give(source)
            if given is None:
                continue
            best = int(given.argmax())
            label = best if node.classes is None else node.classes[best]
            answer = {PROBABILITIES: given, LABEL: np.array([label]), MEMBER: np.array([index])}
            if index < len(node.thresholds):
                heat = node.temperatures[index] if node.temperatures else 1.0
                powers = given.astype(np.float64) ** (1 / heat)
                if powers.max() / powers.sum() >= node.thresholds[index]:
                    break
        return answer


@st.composite
def graphs(draw: st.DrawFn, most: int = 12, forgiving: bool = False) -> Graph:
    """Up to so many nodes, each needed; the thresholds lie where no confidence does. ``forgiving``: combiners with
    quorums, models with stand-ins, tries and deadlines."""
    nodes: list[Node] = [model("m0", "x")]
    for index in range(1, draw(st.sampled_from(range(2, most + 1)))):
        pick = st.sampled_from([node.name for node in nodes[-5:]])
        kind = draw(st.sampled_from(["model", "combine", "cascade", "switch"]))
        reads = draw(st.lists(pick, min_size=1, max_size=3))
        if kind == "combine":
            weights = draw(st.sampled_from([None, (0.5, 0.0, 0.3), (1.0, 2.0, 4.0)]))
            quorum = draw(st.integers(1, len(reads))) if forgiving and len(reads) > 1 else None
            shares = weights[: len(reads)] if weights else None
            nodes.append(combine(f"c{index}", *reads, quorum=quorum, weights=shares))
        elif kind == "cascade" and len(reads) > 1:
            sure = draw(st.lists(st.sampled_from([0.4567891, 0.6789123, 0.8765432]), min_size=3, max_size=3))
            heat = tuple(draw(st.sampled_from([(), (0.7, 1.0, 1.9)])))[: len(reads) - 1]
            nodes.append(cascade(f"k{index}", *reads, thresholds=tuple(sure[: len(reads) - 1]), temperatures=heat))
        elif kind == "switch":
            cases = dict(zip(("0", "1", "2"), reads, strict=False))
            nodes.append(switch(f"s{index}", {**cases, "else": draw(pick)}))
        else:
            policy = draw(_policies([node.name for node in nodes])) if forgiving else NO_POLICY
            nodes.append(model(f"m{index}", *reads[:2], *(["x"] if draw(st.booleans()) else []), policy=policy))
    return graph(*_needed(nodes))


@st.composite
def _policies(draw: st.DrawFn, stand_ins: list[str]) -> NodePolicy:
    return NodePolicy(
        required=draw(st.sampled_from([True, True, False])),
        deadline_ms=draw(st.sampled_from([None, 40.0, 200.0])),
        retries=draw(st.sampled_from([0, 0, 1, 2])),
        hedge_after_ms=draw(st.sampled_from([None, 15.0])),
        fallback=draw(st.sampled_from(["", *stand_ins])),
        breaker=draw(st.sampled_from([None, Breaker(3, 5.0)])),
    )


def _needed(nodes: Sequence[Node]) -> list[Node]:
    wanted = {nodes[-1].name}
    for node in reversed(nodes):
        if node.name in wanted:
            wanted |= {source.node for _, source in node.inputs} | {node.policy.fallback}
    return [node for node in nodes if node.name in wanted]
