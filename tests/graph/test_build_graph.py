"""Good documents become the graphs they describe, ensembles expanded, in the one order."""

from aimass.core.documents import Document
from aimass.graph.graph import Source
from aimass.graph.revision import canonical, digest
from aimass.graph.spec import load_service
from tests.graph.registered import VOTE, graph_from, one_model


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


def test_a_graph_may_share_a_node_and_name_a_tensor_twice() -> None:
    graph = graph_from(VOTE + "    again: vote.label\n")
    assert [str(source) for source in graph.sources] == ["vote.label", "vote.probabilities", "vote.label"]
    assert [spec.name for spec in graph.outputs] == ["label", "probabilities", "again"]


def _spec(text: str):  # type: ignore[no-untyped-def]
    return load_service(Document(text, "service.yaml"))


def _digest(text: str) -> str:
    return digest(canonical(graph_from(text), _spec(text)))
