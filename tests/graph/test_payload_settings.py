"""What a document says about payloads: part of the revision only where it is said, and wrong names are named."""

from typing import Any

import pytest

from aimass.core.documents import Document
from aimass.core.errors import DocumentError, Invalid
from aimass.core.ids import digest_of_json
from aimass.graph.builder import GraphBuilder
from aimass.graph.revision import canonical
from aimass.graph.spec import load_service
from tests.graph.registered import VOTE, graph_from


def _revision(text: str) -> dict[str, Any]:
    return canonical(graph_from(text), load_service(Document(text, "service.yaml")))


def test_it_is_a_part_of_the_revision_only_where_it_is_said() -> None:
    plain, said = _revision(VOTE), _revision(VOTE + "payloads: {}\n")
    assert "payloads" not in plain and plain["format"] == 1
    assert said["format"] == 3
    none: list[str] = []
    assert said["payloads"] == {
        "sample": 0.1, "keep_days": 7.0, "keep_mb": 500.0, "private": {"mask": none, "encrypt": none}
    }  # fmt: skip
    same = [
        "payloads: {private: {mask: [label, image]}}\n",
        "payloads: {sample: 0.1, private: {mask: [image, label]}}\n",
    ]
    assert len({digest_of_json(_revision(VOTE + text)) for text in same}) == 1


@pytest.mark.parametrize(
    ("said", "field", "says"),
    [
        ("{sample: 1.5}", "payloads.sample", "less than or equal to 1"),
        ("{sample: -0.1}", "payloads.sample", "greater than or equal to 0"),
        ("{sample: all}", "payloads.sample", "number"),
        ("{keep_days: 0}", "payloads.keep_days", "greater than 0"),
        ("{keep_mb: .inf}", "payloads.keep_mb", "finite"),
        ("{days: 3}", "payloads.days", "unknown key"),
        ("{private: {mask: image}}", "payloads.private.mask", "valid tuple"),
        ("{private: {mask: [image], encrypt: [image]}}", "payloads.private", "'image' is named twice"),
        ("{private: {encrypt: [image, age]}}", "payloads.private.encrypt.1", "'age' is neither an input nor an output"),
    ],
)
def test_the_fault_is_named_with_line_and_field(said: str, field: str, says: str) -> None:
    line = VOTE.count("\n") + 1
    with pytest.raises(DocumentError, match=says) as caught:
        graph_from(VOTE + f"payloads: {said}\n")
    assert (caught.value.field, caught.value.line) == (field, line)


def test_the_builder_comes_to_the_same_document() -> None:
    graph = GraphBuilder("digits")
    forest = graph.model("forest", "digits-forest@1", {"x": graph.input("image", "FP32", [-1, 64])})
    graph.output("label", forest["label"]).payloads(sample=0.5, private={"encrypt": ["image"]})
    written = _revision(graph.yaml())["payloads"]
    assert written["sample"] == 0.5 and written["private"] == {"mask": [], "encrypt": ["image"]}
    graph.payloads(private={"mask": ["age"]})
    with pytest.raises(Invalid, match="'age' is neither an input nor an output") as caught:
        graph.spec()
    assert caught.value.field == "payloads.private.mask.0"
