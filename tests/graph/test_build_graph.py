"""Good documents become the graphs they describe, ensembles expanded, in the one order."""

import json
from pathlib import Path

import pytest

from aimass.core.documents import Document
from aimass.core.errors import Invalid
from aimass.core.ids import digest_of_json
from aimass.graph.graph import Source
from aimass.graph.missing import optional
from aimass.graph.revision import FORMAT, canonical, graph_of
from aimass.graph.spec import load_service
from tests.graph.registered import VOTE, WHOLE, graph_from, one_model


def test_aliases_are_pinned_and_nodes_stand_in_the_order_they_run() -> None:
    graph = graph_from(VOTE)
    assert [node.name for node in graph.nodes] == ["forest", "scale", "linear", "vote"]
    assert [node.ref for node in graph.nodes] == ["digits-forest@1", "digits-scale@1", "digits-linear@2", ""]
    assert graph.nodes[3].inputs == (("0", Source("forest", "probabilities")), ("1", Source("linear", "probabilities")))
    assert [(spec.name, spec.shape) for spec in graph.outputs] == [("label", (-1,)), ("probabilities", (-1, 10))]
    assert graph.needed()["forest"] == {"probabilities"}


def test_an_ensemble_expands_into_its_members() -> None:
    graph = graph_from(one_model("digits-ensemble@1"))
    assert [node.name for node in graph.nodes] == ["all.forest", "all.scale", "all.linear", "all.vote"]
    written_out = graph_from(VOTE)
    assert [node.signature for node in graph.nodes] == [node.signature for node in written_out.nodes]
    assert graph.sources == (Source("all.vote", "label"), Source("all.vote", "probabilities"))


def test_an_ensemble_of_ensembles_expands_all_the_way() -> None:
    graph = graph_from(one_model("digits-outer@1"))
    assert [node.name for node in graph.nodes] == [
        *("all.inner.forest", "all.inner.scale", "all.inner.linear", "all.inner.vote", "all.svm", "all.all")
    ]
    assert graph.nodes[-1].inputs[0] == ("0", Source("all.inner.vote", "probabilities"))


def test_the_digest_does_not_depend_on_how_the_document_is_written() -> None:
    lines = VOTE.splitlines(keepends=True)
    reordered = "".join([*lines[:5], *lines[11:14], *lines[5:11], *lines[14:], "placement: auto\n"])
    assert reordered != VOTE
    assert _digest(reordered) == _digest(VOTE)
    pinned = VOTE.replace("digits-linear@champion", "digits-linear@2")
    assert _digest(pinned) == _digest(VOTE)


def test_the_digest_changes_with_what_counts() -> None:
    changed = [
        VOTE.replace("0.6, 0.4", "0.4, 0.6"),
        VOTE.replace("[forest.probabilities, linear.probabilities]", "[linear.probabilities, forest.probabilities]"),
        VOTE + "limits: {max_queue: 3}\n",
        VOTE + "placement: fused\n",
        VOTE.replace("service: digits", "service: figures"),
    ]
    assert len({_digest(text) for text in [VOTE, *changed]}) == len(changed) + 1


def test_a_stored_revision_gives_its_graph_back() -> None:
    for text in (VOTE, one_model("digits-outer@1")):
        graph = graph_from(text)
        assert graph_of(canonical(graph, _spec(text))) == graph


@pytest.mark.parametrize("name", ["format-1-ensemble", "format-1-settings", "format-2-whole", "format-3-payloads"])
def test_documents_of_every_format_keep_their_digest(name: str) -> None:
    golden = json.loads((Path(__file__).parent / "golden" / f"{name}.json").read_text())
    graph = graph_from(golden["service"])
    made = canonical(graph, _spec(golden["service"]))
    assert made == golden["revision"]
    assert digest_of_json(made) == digest_of_json(golden["revision"]) == golden["digest"]
    assert graph_of(golden["revision"]) == graph


def test_a_format_to_come_is_refused() -> None:
    with pytest.raises(Invalid, match="update AI Mass"):
        graph_of({"format": FORMAT + 1})


def test_only_what_is_new_needs_the_new_format() -> None:
    new = ["limits: {batch_rows: 8}", "limits: {max_wait_ms: 0}"]
    for text in (VOTE, VOTE + "limits: {batch_rows: 64, max_wait_ms: 2}\n"):
        assert canonical(graph_from(text), _spec(text))["format"] == 1
    said = ["quorum: 1", "placement: fused", "on_missing: renormalise"]
    for text in (
        *(VOTE + f"{line}\n" for line in new),
        *(VOTE.replace("combine:", f"{line}\n      combine:") for line in said),
    ):
        assert canonical(graph_from(text), _spec(text))["format"] == 2


def test_documents_that_mean_the_same_have_one_digest() -> None:
    same = [
        ("quorum: 1\n      on_missing: renormalise", "quorum: 1"),
        ("quorum: 1\n      on_missing: renormalise", "on_missing: renormalise"),
        ("temperatures: [1.5, 1]", "temperatures: [1.5, 1.0]"),
        ("failures: 3, reset_s: 5", "reset_s: 5, failures: 3"),
        ('"-1"', '" -1"'),
    ]
    assert {_digest(WHOLE.replace(old, new)) for old, new in same} == {_digest(WHOLE)}
    lines = ("quorum: 2", "on_missing: fail")
    assert {_digest(VOTE.replace("combine:", f"{line}\n      combine:")) for line in lines} == {_digest(VOTE)}
    one = WHOLE.replace("thresholds: [0.9, 0.8]", "threshold: 0.9")
    assert _digest(one) == _digest(WHOLE.replace("[0.9, 0.8]", "[0.9, 0.9]"))


def test_to_insist_on_a_node_counts_only_where_it_could_be_lost() -> None:
    plain = VOTE.replace("      model: digits-forest@1\n", "      model: digits-forest@1\n      required: true\n")
    assert _digest(plain) == _digest(VOTE)
    with_quorum = VOTE.replace("combine:", "quorum: 1\n      combine:")
    insists = plain.replace("combine:", "quorum: 1\n      combine:")
    assert optional(graph_from(with_quorum)) == {"forest", "linear", "scale"}
    assert optional(graph_from(insists)) == {"linear", "scale"}
    assert _digest(insists) != _digest(with_quorum)
    assert graph_of(canonical(graph_from(insists), _spec(insists))) == graph_from(insists)


def test_a_node_that_two_members_need_cannot_be_lost() -> None:
    both = VOTE.replace("x: $in.image}\n    vote", "x: scale.y}\n    vote").replace(
        "combine:", "quorum: 1\n      combine:"
    )
    assert optional(graph_from(both)) == {"forest", "linear"}


def test_a_cascade_goes_on_without_a_member_that_says_it_is_not_required() -> None:
    text = WHOLE.replace("large: {model", "large: {required: false, model")
    assert optional(graph_from(text)) == {"big", "large", "prior"}
    assert "large" not in optional(graph_from(WHOLE))


def test_a_stacking_becomes_two_nodes() -> None:
    nodes = {node.name: node for node in graph_from(WHOLE).nodes}
    members, meta = nodes["meta.members"], nodes["meta"]
    assert (members.combine, [str(source) for _, source in members.inputs]) == (
        "stack",
        ["small.probabilities", "vote.probabilities"],
    )
    assert [(spec.name, spec.shape) for spec in members.signature.outputs] == [("features", (-1, 20))]
    assert meta.inputs == (("features", Source("meta.members", "features")),)


def test_a_cascade_and_a_switch() -> None:
    nodes = {node.name: node for node in graph_from(WHOLE).nodes}
    gate, route = nodes["gate"], nodes["route"]
    assert (gate.thresholds, gate.temperatures) == ((0.9, 0.8), (1.5, 1.0))
    assert [spec.name for spec in gate.signature.outputs] == ["label", "probabilities", "member"]
    assert [port for port, _ in route.inputs] == [
        *("select", "-1.best", "-1.chances", "0.best", "0.chances", "else.best", "else.chances")
    ]
    assert route.inputs[1] == ("-1.best", Source("gate", "label"))
    assert [(spec.name, spec.datatype, spec.shape) for spec in route.signature.outputs] == [
        ("best", "INT64", (-1,)),
        ("chances", "FP32", (-1, 10)),
    ]


def test_a_graph_may_share_a_node_and_name_a_tensor_twice() -> None:
    graph = graph_from(VOTE + "    again: vote.label\n")
    assert [str(source) for source in graph.sources] == ["vote.label", "vote.probabilities", "vote.label"]
    assert [spec.name for spec in graph.outputs] == ["label", "probabilities", "again"]


def _spec(text: str):  # type: ignore[no-untyped-def]
    return load_service(Document(text, "service.yaml"))


def _digest(text: str) -> str:
    return digest_of_json(canonical(graph_from(text), _spec(text)))
