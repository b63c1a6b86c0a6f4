"""A stored revision written out again is the same revision, but for the names of what was inside ensembles."""

import json
from typing import Any

import pytest
import yaml

from aimass.core.documents import Document
from aimass.core.errors import Invalid
from aimass.graph.explicit import explicit
from aimass.graph.revision import canonical
from aimass.graph.spec import load_service
from aimass.monitoring.feedback.learnable import learnable, told
from tests.graph.registered import VOTE, WHOLE, graph_from, one_model

MEMBERS = "  outputs: {forest: all.forest.probabilities, linear: all.linear.probabilities, "


def _canonical(text: str) -> dict[str, Any]:
    return canonical(graph_from(text), load_service(Document(text, "service.yaml")))


@pytest.mark.parametrize(
    "text",
    [VOTE, WHOLE, *(one_model(f"digits-{name}@1") for name in ("ensemble", "outer", "quorum", "mixed", "forest"))],
)
def test_it_is_the_same_revision(text: str) -> None:
    stored = _canonical(text)
    again = _canonical(yaml.safe_dump(explicit(stored), sort_keys=False))
    wanted, found = _renamed(stored), _renamed(again)
    assert {node["name"]: node for node in found.pop("nodes")} == {node["name"]: node for node in wanted.pop("nodes")}
    assert found == wanted


def _renamed(document: dict[str, Any]) -> dict[str, Any]:
    """Every node without dots in its name."""
    text = json.dumps(document)
    for node in document["nodes"]:
        text = text.replace(f'"{node["name"]}"', f'"{node["name"].replace(".", "-")}"')
    found: dict[str, Any] = json.loads(text)
    return found


def test_other_weights_are_the_only_difference() -> None:
    stored = _canonical(one_model("digits-ensemble@1"))
    again = _canonical(yaml.safe_dump(explicit(stored, {"all.vote": (0.25, 0.75)}), sort_keys=False))
    (vote,) = (node for node in again["nodes"] if node["name"] == "all-vote")
    assert (vote["combine"], vote["weights"]) == ("weighted", [0.25, 0.75])


def test_an_ensembles_members_can_be_outputs_and_are_what_is_learnt_from() -> None:
    plain = one_model("digits-ensemble@1")
    text = plain.replace("  outputs: {", MEMBERS)
    assert text != plain
    stored = _canonical(text)
    found = learnable(stored)
    assert (found.node, found.weights, found.outputs) == ("all.vote", (0.6, 0.4), ("forest", "linear"))
    assert told(stored) == {"members": ["forest", "linear"]}
    with pytest.raises(Invalid, match=r"the scores of all\.forest\.probabilities, all\.linear"):
        learnable(_canonical(plain))
    with pytest.raises(Invalid, match="this one has none"):
        learnable(_canonical(one_model("digits-forest@1")))
