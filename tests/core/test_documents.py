"""YAML documents: what is wrong is named with its line and field."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from aimass.core.documents import Document
from aimass.core.errors import DocumentError, Invalid


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Limits(Strict):
    deadline_ms: int = Field(default=100, ge=1)


class Service(Strict):
    service: str
    limits: Limits = Limits()
    nodes: list[Limits] = []


GOOD = """\
# a comment
service: digits

limits:
  deadline_ms: 200
nodes:
  - deadline_ms: 1
  - deadline_ms: 2
"""


def refused(text: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        Document(text, "service.yaml").parse(Service)
    return caught.value


def test_a_good_one() -> None:
    parsed = Document(GOOD, "service.yaml").parse(Service)
    assert parsed == Service(
        service="digits", limits=Limits(deadline_ms=200), nodes=[Limits(deadline_ms=1), Limits(deadline_ms=2)]
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("service: digits", "service: 7", 2, "service"),
        ("deadline_ms: 200", "deadline_ms: soon", 5, "limits.deadline_ms"),
        ("deadline_ms: 200", "deadline_ms: 0", 5, "limits.deadline_ms"),
        ("deadline_ms: 200", "deadlin_ms: 200", 5, "limits.deadlin_ms"),
        ("deadline_ms: 2\n", "deadline_ms: 0\n", 8, "nodes.1.deadline_ms"),
        ("deadline_ms: 2\n", "more: 0\n", 8, "nodes.1.more"),
        ("limits:", "Limits:", 4, "Limits"),
        ("service: digits", "", 1, "service"),
    ],
)
def test_wrong_values_are_named_with_their_line(old: str, new: str, line: int, field: str) -> None:
    assert GOOD.count(old) == 1
    error = refused(GOOD.replace(old, new))
    assert (error.line, error.field) == (line, field)
    assert str(error).startswith(f"service.yaml:{line}: {field}: ")


def test_an_unknown_key_says_so() -> None:
    assert "unknown key" in str(refused("service: digits\nextra: 1\n"))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("service: [digits\nlimits: {}\n", 2, "not valid YAML"),
        ("service: digits\n\tlimits: {}\n", 2, "not valid YAML"),
        ("- a\n- b\n", 1, "expected a mapping"),
        ("", 1, "expected a mapping"),
        ("service: a\nlimits: {}\nservice: b\n", 3, "service: given twice"),
        ("limits:\n  deadline_ms: 1\n  deadline_ms: 2\n", 3, "limits.deadline_ms: given twice"),
        ("service: !!python/object/apply:os.system ['true']\n", 1, "not valid YAML"),
        ("service: 2026-13-01\n", 0, "not valid YAML"),
        ("service: \x00\n", 0, "not valid YAML"),
        ("service: " + "[" * 5000, 0, "not valid YAML"),
        ("service: a\n1: b\n", 2, "a key must be a word"),
        ("service: a\n? [b]\n: c\n", 2, "a key must be a word"),
        ("service: a\nnodes: &n\n  - *n\n", 2, "aliases"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", 1, "aliases"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n", 3, "a key must be a word"),
    ],
)
def test_broken_yaml_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    error = refused(text)
    assert error.line == line
    assert words in str(error)


def test_an_error_stands_at_the_nearest_key() -> None:
    document = Document(GOOD, "service.yaml")
    places: list[tuple[tuple[Any, ...], int]] = [
        (("limits", "deadline_ms"), 5),
        (("limits", "nowhere"), 4),
        (("nodes", 1), 8),
        (("nowhere",), 1),
        ((), 1),
    ]
    for place, line in places:
        assert document.error("odd", *place).line == line


def test_files(tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text(GOOD)
    assert Document.read(tmp_path / "service.yaml").data["service"] == "digits"
    (tmp_path / "latin.yaml").write_bytes("service: gr\xfcn".encode("latin-1"))
    for name in ("absent.yaml", "latin.yaml", "."):
        with pytest.raises(Invalid, match="cannot read"):
            Document.read(tmp_path / name)
