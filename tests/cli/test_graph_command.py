"""``aimass graph`` on what the control API answers: drawn, as a table where it is too wide, as SVG, as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aimass.core.errors import Invalid
from aimass.graph.drawing.picture import picture_of
from tests.cli.desk_kit import Verbs, typing_into
from tests.graph.registered import VOTE, WHOLE, graph_from


class Control(Verbs):
    """Knows one deployed service and draws every document."""

    def graph(self, name: str) -> Any:
        graph = graph_from(VOTE)
        return picture_of(graph, {node.name: "merged" for node in graph.nodes}, name, 3, "merged").to_json()

    def graph_document(self, document: str, name: str) -> Any:
        graph = graph_from(document)
        return picture_of(graph, {}, Path(name).stem, why="no plan can hold it").to_json()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    return typing_into(Control, monkeypatch, None, "graph")


def test_a_deployed_service_is_drawn_and_listed(run: Callable[..., str]) -> None:
    shown = run("digits")
    assert shown.startswith("digits: revision 3, merged\n")
    assert "─▸│ weighted │─┤" in shown
    assert "weights 0.6, 0.4" in shown


def test_a_file_is_drawn_with_what_speaks_against_it(run: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "figures.yaml"
    path.write_text(WHOLE)
    shown = run(str(path))
    assert shown.startswith("figures: not deployed, no plan\nno plan can hold it\n")
    assert "┆ meta.members ┆" in shown
    assert "prior (fallback)" in shown


def test_as_svg_and_json(run: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "digits.svg"
    assert run("digits", "--svg", str(path)) == f"wrote {path}\n"
    assert path.read_text().startswith("<svg ")
    assert json.loads(run("digits", "--json"))["revision"] == 3
    with pytest.raises(Invalid, match="cannot write"):
        run("digits", "--svg", str(tmp_path / "no" / "digits.svg"))
