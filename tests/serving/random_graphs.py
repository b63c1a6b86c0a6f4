"""Random services of up to 12 nodes of every kind over small random ONNX models, and what they answer by definition.

``services()`` draws one; ``expected`` computes its answers by a second implementation: every node for every row, in
float64 from textbook formulas, scipy and one onnxruntime session per model. Plans of any kind are compared with that by
``check_answer``, which leaves out rows where a decision hangs on the last bits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnxruntime
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy import stats

from aimass.core.batch import Array, Batch
from aimass.core.documents import Document
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.graph.build import build_graph
from aimass.graph.graph import INPUT, Graph, ModelInfo, Node, Source
from aimass.graph.spec import load_service
from aimass.serving.combining import make_combiner
from tests.serving.served_models import Shelf

CLASSES = 3
CLOSE = 1e-4  # decisions nearer to the other side than that are not compared
Doubt = NDArray[np.bool_]  # of each row


def _floats(name: str, width: int = CLASSES) -> TensorSpec:
    return TensorSpec(name, Datatype.FP32, (-1, width))


LABEL = TensorSpec("label", Datatype.INT64, (-1,))
OUTPUTS = (LABEL, _floats("probabilities"), _floats("y"))
ONE = Signature((_floats("x"),), OUTPUTS)
TWO = Signature((_floats("u"), _floats("v")), OUTPUTS)
STEP = Signature((_floats("x"),), (_floats("y"),))


def _model(signature: Signature, seed: int) -> bytes:
    """y = tanh(x · W + …), probabilities = softmax(2 y), label their best; names inside are shared by all models."""
    generator = np.random.default_rng(seed)
    nodes, weights, parts = [], [], []
    for spec in signature.inputs:
        values = generator.standard_normal((spec.shape[1], CLASSES)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"W_{spec.name}"))
        nodes.append(helper.make_node("MatMul", [spec.name, f"W_{spec.name}"], [f"part_{spec.name}"]))
        parts.append(f"part_{spec.name}")
    nodes += [
        helper.make_node("Sum", parts, ["sum"]),
        helper.make_node("Tanh", ["sum"], ["y"]),
        helper.make_node("Add", ["y", "y"], ["twice"]),
        helper.make_node("Softmax", ["twice"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    types = {Datatype.FP32: TensorProto.FLOAT, Datatype.INT64: TensorProto.INT64}
    values_of = [
        [helper.make_tensor_value_info(spec.name, types[spec.datatype], ["n", *spec.shape[1:]]) for spec in specs]
        for specs in (signature.inputs, signature.outputs)
    ]
    made = helper.make_graph(nodes, "g", *values_of, weights)
    opset = helper.make_opsetid("", 13 + seed % 9)  # parts of different operator sets
    return bytes(helper.make_model(made, opset_imports=[opset], ir_version=8 + seed % 3).SerializeToString())


@cache
def shelf() -> Shelf:
    return Shelf()


@cache
def registered() -> Mapping[str, ModelInfo]:
    """one@0 … one@4, two@0 …, step@0 …, meta@2 … meta@4 (of so many members), and two ensembles of them."""
    kinds = {"one": ONE, "two": TWO, "step": STEP}
    wanted = [(name, number, signature) for name, signature in kinds.items() for number in range(5)]
    wanted += [("meta", members, Signature((_floats("f", members * CLASSES),), OUTPUTS)) for members in (2, 3, 4)]
    found = {}
    for index, (name, number, signature) in enumerate(wanted):
        ref, kind = f"{name}@{number}", "transform" if name == "step" else "model"
        found[ref] = ModelInfo(ref, kind, "onnx", {"model.onnx": shelf().put(_model(signature, index))}, signature)
    outputs = {"label": "all.label", "probabilities": "all.probabilities", "y": "first.y"}
    first = {"model": "one@0", "inputs": {"x": "$in.x"}}
    second = {"model": "one@1", "inputs": {"x": "first.y"}}
    chances = ["first.probabilities", "second.probabilities"]
    choices = {
        "ensemble@1": {"combine": "mean", "inputs": chances},
        "ensemble@2": {"cascade": chances, "threshold": 0.6},
    }
    for ref, choice in choices.items():
        graph = {"nodes": {"first": first, "second": second, "all": choice}, "outputs": outputs}
        found[ref] = ModelInfo(ref, "ensemble", "", {}, ONE, graph)
    return found


@dataclass
class _Drawing:
    """A service while it is drawn: what there is to read, and what nobody has read yet."""

    draw: st.DrawFn
    chances: list[str]
    whole: list[str]
    tensors: list[str]
    unread: set[str]

    def pick(self, names: list[str]) -> str:
        name = self.draw(st.sampled_from(names))
        self.unread.discard(name.partition(".")[0])
        return name

    def pick_many(self, least: int) -> list[str]:
        names = self.draw(st.lists(st.sampled_from(self.chances), min_size=least, max_size=4, unique=True))
        self.unread -= {name.partition(".")[0] for name in names}
        return names


def _call(at: _Drawing) -> str:
    kind = at.draw(st.sampled_from(["one", "one", "two", "ensemble"]))
    if kind == "two":
        return (
            f"model: two@{at.draw(st.integers(0, 4))}, inputs: {{u: {at.pick(at.tensors)}, v: {at.pick(at.tensors)}}}"
        )
    low, high = (1, 2) if kind == "ensemble" else (0, 4)
    return f"model: {kind}@{at.draw(st.integers(low, high))}, inputs: {{x: {at.pick(at.tensors)}}}"


def _combine(at: _Drawing) -> str:
    members = at.pick_many(1)
    how = at.draw(st.sampled_from(["mean", "weighted", "vote", "median", "rank"]))
    weights = at.draw(st.lists(st.integers(1, 9), min_size=len(members), max_size=len(members)))
    said = f", weights: {weights}" if how == "weighted" or (how == "vote" and at.draw(st.booleans())) else ""
    said += f", classes: [{CLASSES - 1}, 0, 7]" if at.draw(st.booleans()) else ""
    return f"combine: {how}{said}, inputs: [{', '.join(members)}]"


def _stacking(at: _Drawing) -> str:
    members = at.pick_many(2)
    return f"combine: stacking, model: meta@{len(members)}, inputs: [{', '.join(members)}]"


def _cascade(at: _Drawing) -> str:
    members = at.pick_many(2)
    steps = len(members) - 1
    thresholds = at.draw(st.lists(st.sampled_from([0.37, 0.5, 0.71, 0.9]), min_size=steps, max_size=steps))
    heat = at.draw(st.lists(st.sampled_from([0.6, 1, 2.5]), min_size=steps, max_size=steps))
    return f"cascade: [{', '.join(members)}], thresholds: {thresholds}, temperatures: {heat}"


def _switch(at: _Drawing) -> str:
    select = at.pick(at.whole)
    values = at.draw(st.lists(st.integers(-1, 3), min_size=1, max_size=3, unique=True))
    branches = [f"{{probabilities: {at.pick(at.chances)}, label: {at.pick(at.whole)}}}" for _ in range(len(values) + 1)]
    cases = ", ".join(f'"{value}": {branch}' for value, branch in zip(values, branches, strict=False))
    return f"switch: {select}, cases: {{{cases}}}, else: {branches[-1]}"


@st.composite
def services(draw: st.DrawFn, least: int = 1, most: int = 12) -> str:
    """The YAML of a service whose every node is used; in about half of them some nodes run lazily."""
    at = _Drawing(draw, [], ["$in.kind"], ["$in.a", "$in.b"], set())
    nodes: list[str] = []
    for index in range(draw(st.integers(least, most))):
        makers: list[Callable[[_Drawing], str]] = [_call, _call]
        makers += [_combine, _switch] if at.chances else []
        makers += [_stacking, _cascade, _cascade] if len(at.chances) > 1 else []
        name = f"n{index}"
        if draw(st.integers(0, 6)) == 0:
            nodes.append(
                f"    {name}: {{transform: step@{draw(st.integers(0, 4))}, inputs: {{x: {at.pick(at.tensors)}}}}}"
            )
        else:
            body = draw(st.sampled_from(makers))(at)
            nodes.append(f"    {name}: {{{body}}}")
            at.chances.append(f"{name}.probabilities")
            at.tensors.append(f"{name}.probabilities")
            at.whole.append(f"{name}.label")
        if "model:" in nodes[-1] or "transform:" in nodes[-1]:
            at.tensors.append(f"{name}.y")
        at.unread.add(name)
    return _document(nodes, sorted(at.unread, key=lambda name: int(name[1:])))


def _document(nodes: list[str], ends: list[str]) -> str:
    """Every node that nobody reads gives its outputs."""
    bodies = {body.strip().partition(":")[0]: body for body in nodes}
    outputs = []
    for name in ends:
        given = ["y"] if "transform:" in bodies[name] else ["probabilities", "label"]
        outputs += [f"    {name}-{tensor}: {name}.{tensor}" for tensor in given]
    text = "\n".join(nodes)
    shapes = {"a": "datatype: FP32, shape: [-1, 3]", "b": "datatype: FP32, shape: [-1, 3]"}
    shapes["kind"] = "datatype: INT64, shape: [-1]"
    inputs = [f"    {name}: {{{shape}}}" for name, shape in shapes.items() if f"$in.{name}" in text]
    lines = ["service: random", "graph:", "  inputs:", *inputs, "  nodes:", *nodes, "  outputs:", *outputs]
    return "\n".join(lines) + f"\n    again: {outputs[0].partition(': ')[2]}\n"


def graph_of(text: str) -> Graph:
    """The service's graph over the registered models."""
    document = Document(text, "service.yaml")
    return build_graph(load_service(document), lambda ref, _: registered()[ref], document, make_combiner)


def random_batch(graph: Graph, rows: int, seed: int) -> Batch:
    """Normal numbers; whole ones from -2 to 4."""
    generator = np.random.default_rng(seed)
    return {
        spec.name: generator.integers(-2, 5, rows)
        if spec.datatype is Datatype.INT64
        else generator.standard_normal((rows, CLASSES)).astype(np.float32)
        for spec in graph.inputs
    }


def expected(graph: Graph, batch: Batch) -> tuple[dict[str, Array], dict[str, Doubt]]:
    """Outputs by the service's names, and of each the rows that hang on a decision too close to call."""
    rows = len(next(iter(batch.values())))
    values: dict[Source, Array] = {Source(INPUT, name): array.astype(np.float64) for name, array in batch.items()}
    doubts: dict[Source, Doubt] = {source: np.zeros(rows, bool) for source in values}
    for node in graph.nodes:
        given = [values[source] for _, source in node.inputs]
        doubted = np.any([doubts[source] for _, source in node.inputs], axis=0)
        made, doubt = _answer(node, given)
        for name, array in made.items():
            source = Source(node.name, name)
            values[source] = array
            doubts[source] = doubted | doubt | (_close(made["probabilities"]) if name == "label" else False)
    pairs = list(zip(graph.outputs, graph.sources, strict=True))
    return (
        {spec.name: values[source] for spec, source in pairs},
        {spec.name: doubts[source] for spec, source in pairs},
    )


def check_answer(graph: Graph, answer: Batch, wanted: tuple[dict[str, Array], dict[str, Doubt]]) -> None:
    """The plan's answer is what the definition gives, in the service's names, order and datatypes."""
    values, doubts = wanted
    assert list(answer) == [spec.name for spec in graph.outputs]
    for spec in graph.outputs:
        sure = ~doubts[spec.name]
        given = answer[spec.name]
        assert given.shape == values[spec.name].shape
        assert given.dtype == (np.int64 if spec.datatype is Datatype.INT64 else np.float32)
        np.testing.assert_allclose(given[sure], values[spec.name][sure], atol=2e-5, err_msg=spec.name)


@cache
def _session(digest: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(shelf().data[digest], providers=["CPUExecutionProvider"])  # type: ignore[index]


def _answer(node: Node, given: list[Array]) -> tuple[dict[str, Array], Doubt]:
    sure = np.zeros(len(given[0]), bool)
    if node.ref:
        (digest,) = node.files.values()
        names = [spec.name for spec in node.signature.outputs]
        feed = {port: array.astype(np.float32) for (port, _), array in zip(node.inputs, given, strict=True)}
        outputs = _session(digest).run(names, feed)
        return {name: array.astype(np.float64) for name, array in zip(names, outputs, strict=True)}, sure
    if node.kind == "combine":
        combined, doubt = _combined(node, given)
        if node.combine == "stack":
            return {"features": combined}, doubt
        return {"probabilities": combined, "label": _label(node, combined)}, doubt
    if node.kind == "cascade":
        return _cascaded(node, given)
    return _switched(node, given), sure


def _combined(node: Node, given: list[Array]) -> tuple[Array, Doubt]:
    doubt = np.zeros(len(given[0]), bool)
    weights = np.array(node.weights or [1.0] * len(given))
    if node.combine == "stack":
        return np.hstack(given), doubt
    if node.combine in ("mean", "weighted"):
        return np.average(given, axis=0, weights=weights), doubt
    if node.combine == "vote":
        votes = [np.eye(CLASSES)[member.argmax(axis=1)] for member in given]
        return np.average(votes, axis=0, weights=weights), np.any([_close(member) for member in given], axis=0)
    if node.combine == "rank":
        ranks = np.sum([stats.rankdata(member, axis=1) for member in given], axis=0)
        return ranks / ranks.sum(axis=1, keepdims=True), np.any([_any_close(member) for member in given], axis=0)
    median = np.median(given, axis=0)
    total = median.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, median / total, np.mean(given, axis=0)), doubt


def _cascaded(node: Node, given: list[Array]) -> tuple[dict[str, Array], Doubt]:
    rows = len(given[0])
    member = np.full(rows, len(given) - 1)
    doubt, open_ = np.zeros(rows, bool), np.ones(rows, bool)
    for index, threshold in enumerate(node.thresholds):
        heated = given[index] ** (1 / (node.temperatures[index] if node.temperatures else 1))
        confidence = heated.max(axis=1) / heated.sum(axis=1)
        doubt |= open_ & (np.abs(confidence - threshold) < CLOSE)
        member[open_ & (confidence >= threshold)] = index
        open_ &= confidence < threshold
    chosen = np.stack(given)[member, np.arange(rows)]
    return {"probabilities": chosen, "label": _label(node, chosen), "member": member}, doubt


def _switched(node: Node, given: list[Array]) -> dict[str, Array]:
    sources = {port: array for (port, _), array in zip(node.inputs, given, strict=True)}
    found = {}
    for spec in node.signature.outputs:
        rows = []
        for row, value in enumerate(sources["select"]):
            case = str(int(value)) if str(int(value)) in node.cases else "else"
            rows.append(sources[f"{case}.{spec.name}"][row])
        found[spec.name] = np.array(rows)
    return found


def _label(node: Node, chances: Array) -> Array:
    classes = np.arange(chances.shape[1]) if node.classes is None else np.array(node.classes)
    return np.asarray(classes[chances.argmax(axis=1)])


def _close(chances: Array) -> Doubt:
    """Rows whose best two are hard to tell apart."""
    ordered = np.sort(chances, axis=1)
    gap = ordered[:, -1] - ordered[:, -2]
    return np.asarray(gap < CLOSE)


def _any_close(chances: Array) -> Doubt:
    """The same for any two of a row, but for those that are equal."""
    gaps = np.diff(np.sort(chances, axis=1), axis=1)
    return np.asarray(((gaps > 0) & (gaps < CLOSE)).any(axis=1))
