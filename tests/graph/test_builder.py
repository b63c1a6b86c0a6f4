"""Services built in Python come to the same revision, byte for byte, as those in YAML; mistakes show at once."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.core.documents import Document
from aimass.core.errors import Invalid
from aimass.graph import order
from aimass.graph.build import build_graph
from aimass.graph.builder import BuiltNode, GraphBuilder, Tensor
from aimass.graph.document.nodes import NodeSpec
from aimass.graph.revision import canonical, graph_of
from aimass.graph.spec import ServiceSpec, load_service
from tests.graph.registered import VOTE, WHOLE, lookup, one_model
from tests.serving import random_graphs

README = Path(__file__).parents[2] / "README.md"


def built(spec: ServiceSpec) -> GraphBuilder:
    """The service once more, by the builder."""
    builder = GraphBuilder(spec.service, spec.placement)
    inputs = {name: item.model_dump(exclude_unset=True) for name, item in spec.graph.inputs.items()}
    tensors = {f"$in.{name}": builder.input(name, **item) for name, item in inputs.items()}
    takes = {
        name: {edge.source.partition(".")[0] for edge in node.edges().values()} - {"$in"}
        | ({node.fallback} if node.fallback else set())
        for name, node in spec.graph.nodes.items()
    }
    nodes: dict[str, BuiltNode] = {}

    def read(source: str) -> Tensor:
        node, _, output = source.partition(".")
        return tensors[source] if node == "$in" else nodes[node][output]

    for name in order.sort(takes):
        nodes[name] = add(builder, name, spec.graph.nodes[name], read, nodes)
    for name, source in spec.graph.outputs.items():
        builder.output(name, read(source))
    for key in ("replicas", "limits", "slo"):
        if key in spec.model_fields_set:
            getattr(builder, key)(**getattr(spec, key).model_dump(exclude_unset=True))
    return builder


def add(
    builder: GraphBuilder, name: str, node: NodeSpec, read: Callable[[str], Tensor], nodes: dict[str, BuiltNode]
) -> BuiltNode:
    said: dict[str, Any] = node.model_dump(exclude_unset=True)
    if "fallback" in said:
        said["fallback"] = nodes[said["fallback"]]
    ports = {port: read(source) for port, source in said.pop("inputs", {}).items()}
    if node.kind == "stacking":
        del said["combine"]
        return builder.stacking(name, said.pop("model"), list(ports.values()), **said)
    if node.kind == "combine":
        return builder.combine(name, said.pop("combine"), list(ports.values()), **said)
    if node.kind == "cascade":
        return builder.cascade(name, [read(source) for source in said.pop("cascade")], **said)
    if node.kind == "switch":
        cases = {
            case: {port: read(source) for port, source in branch.items()} for case, branch in said["cases"].items()
        }
        otherwise = {port: read(source) for port, source in said["otherwise"].items()}
        return builder.switch(name, read(said["switch"]), cases, otherwise)
    if node.kind == "transform":
        return builder.transform(name, said.pop("transform"), ports, **said)
    return builder.model(name, said.pop("model"), ports, **said)


@settings(deadline=None, max_examples=60)
@given(text=random_graphs.services(least=2), data=st.data())
def test_the_canonical_form_is_stable(text: str, data: st.DataObject) -> None:
    """Whatever the order of the nodes in the document, and after a stay in the database."""
    lines = text.splitlines(keepends=True)
    first, last = lines.index("  nodes:\n") + 1, lines.index("  outputs:\n")
    again = "".join([*lines[:first], *data.draw(st.permutations(lines[first:last])), *lines[last:]])
    graph, other = random_graphs.graph_of(text), random_graphs.graph_of(again)
    document = canonical(graph, load_service(Document(text, "service.yaml")))
    assert canonical(other, load_service(Document(again, "service.yaml"))) == document
    assert graph_of(json.loads(json.dumps(document))) == graph == other


def check_same(text: str, find: Callable[[str, str], Any]) -> None:
    spec = load_service(Document(text, "service.yaml"))
    builder = built(spec)
    wanted = json.dumps(canonical(build_graph(spec, find), spec))
    for again in (builder.spec(), load_service(Document(builder.yaml(), "service.yaml"))):
        assert json.dumps(canonical(build_graph(again, find), again)) == wanted


MEMBERS = one_model("digits-ensemble@1").replace(
    "{x: $in.image}}", "{x: $in.image}, members: {forest: {retries: 1, fallback: linear}, vote: {quorum: 1}}}"
)
SETTINGS = [
    *("", "placement: fused\n", "limits: {deadline_ms: 20, batch_rows: 8}\n", "slo: {p95_ms: 5, error_rate: 0.1}\n"),
    "placement: fanout\nreplicas: {min: 0, max: 3, policy_options: {a: 1}}\n",
]


@settings(deadline=None, max_examples=100)
@given(text=random_graphs.services(), more=st.sampled_from(SETTINGS[:4]))
def test_a_random_service_comes_to_the_same_revision(text: str, more: str) -> None:
    check_same(text + more, lambda ref, _: random_graphs.registered()[ref])


@pytest.mark.parametrize("more", SETTINGS)
@pytest.mark.parametrize("text", [VOTE, WHOLE, one_model("digits-outer@1"), MEMBERS])
def test_every_key_comes_to_the_same_revision(text: str, more: str) -> None:
    said = VOTE.replace("64]}", "64], allow_missing: false, picture: {height: 8, width: 8}}")
    for service in (text, said):
        check_same(service + more, lookup)


def begun() -> tuple[GraphBuilder, Tensor, BuiltNode]:
    builder = GraphBuilder("digits")
    image = builder.input("image", "FP32", [-1, 64])
    return builder, image, builder.model("linear", "digits-linear@2", {"x": image})


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (lambda b, x, n: GraphBuilder("Digits"), "service name 'Digits' must be"),
        (lambda b, x, n: b.input("image", "FP32", [-1]), "graph.inputs.image: given twice"),
        (lambda b, x, n: b.input("two", "FP33", [-1]), "graph.inputs.two.datatype: Input should be"),
        (lambda b, x, n: b.input("two", "FP32", [2]), r"graph.inputs.two.shape: shape \[2\] must start"),
        (lambda b, x, n: b.model("linear", "m@1", {"x": x}), "graph.nodes.linear: given twice"),
        (lambda b, x, n: b.model("Linear", "m@1", {"x": x}), "node name 'Linear' must be"),
        (lambda b, x, n: b.model("m", "m@1", {"x": x}, retries=-1), "graph.nodes.m.retries: Input should be"),
        (lambda b, x, n: b.model("m", "m@1", {"x": x}, weights=[1]), "'weights' does not belong to a model node"),
        (lambda b, x, n: b.model("m", "m@1", {"x": x}, breaker={"falures": 1}), "breaker.falures: Extra inputs"),
        (lambda b, x, n: b.model("m", "m@1", {"x": begun()[1]}), r"\$in.image is of another service"),
        (lambda b, x, n: b.model("m", "m@1", {"x": x}, fallback=begun()[2]), "linear is of another service"),
        (lambda b, x, n: b.combine("v", "mean", []), "takes a list of inputs"),
        (lambda b, x, n: b.combine("v", "mean", [n["y"], n["y"]]), "stands in it 2 times"),
        (lambda b, x, n: b.combine("v", "weighted", [n["y"]], weights=[1, 2]), "v.weights: 2 weights for 1 inputs"),
        (lambda b, x, n: b.combine("v", "mean", [n["y"]], quorum=2), "v.quorum: a quorum of 2 among 1"),
        (lambda b, x, n: b.combine("v", "mean", [n["y"]])["y"], "node 'v' has no output 'y'; it has: label, prob"),
        (lambda b, x, n: b.combine("v", "stack", [n["y"]])["label"], "it has: features"),
        (lambda b, x, n: b.cascade("c", [n["y"], n["z"]], threshold=2), "c.threshold: Input should be less"),
        (lambda b, x, n: b.cascade("c", [n["y"], n["z"]]), "needs a threshold"),
        (lambda b, x, n: b.cascade("c", [n["y"]], threshold=0.5), "at least 2 items"),
        (lambda b, x, n: b.switch("s", x, {1: {"y": n["y"]}}, {"z": n["z"]}), "'else' gives z; '1' gives y"),
        (lambda b, x, n: b.switch("s", x, {1: {"y": n["y"]}, "1": {"y": n["z"]}}, {"y": n["z"]}), "are the same"),
        (lambda b, x, n: b.switch("s", x, {1: {"y": n["y"]}}, {"y": n["y"]})["z"], "it has: y"),
        (lambda b, x, n: b.output("image", n["y"]), "'image' is an input and an output"),
        (lambda b, x, n: b.output("out", x), "an output comes from a node"),
        (lambda b, x, n: b.output("y", n["y"]).output("y", n["z"]), "graph.outputs.y: given twice"),
        (lambda b, x, n: b.limits(deadline_ms=0), "limits.deadline_ms: Input should be greater"),
        (lambda b, x, n: b.spec(), "graph.outputs: Dictionary should have at least 1"),
        (lambda b, x, n: (b.model("spare", "m@1", {"x": x}), b.output("y", n["y"]).yaml()), "spare: no output needs"),
    ],
)
def test_mistakes_show_where_they_are_made(mistake: Callable[..., object], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        mistake(*begun())


def test_cases_may_be_numbers_and_truths() -> None:
    builder, _, node = begun()
    kind = builder.input("kind", "BOOL", [-1])
    route = builder.switch("route", kind, {True: {"y": node["a"]}, False: {"y": node["b"]}}, {"y": node["c"]})
    spec = builder.output("y", route["y"]).spec()
    assert list(spec.graph.nodes["route"].cases or {}) == ["true", "false"]


def test_the_example_of_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n([^`]*GraphBuilder[^`]*)```", README.read_text())
    deployed: list[str] = []

    class Control:
        def deploy(self, document: str) -> None:
            deployed.append(document)

    monkeypatch.setattr("aimass.client.Control", Control)
    exec(compile(code, "README.md", "exec"), {})
    (document,) = deployed
    spec = load_service(Document(document, "service.yaml"))
    assert {node.kind for node in spec.graph.nodes.values()} >= {"model", "cascade"}
