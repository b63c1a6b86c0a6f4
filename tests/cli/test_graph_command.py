"""``aimass graph`` on what the control API answers: drawn, as a table where it is too wide, as SVG, as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aimass.cli import terminal
from aimass.cli.main import app
from aimass.core.errors import Invalid
from aimass.graph.drawing.picture import picture_of
from tests.graph.registered import VOTE, WHOLE, graph_from


class Control:
    """Knows one deployed service and draws every document."""

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def graph(self, name: str) -> Any:
        graph = graph_from(VOTE)
        return picture_of(graph, {node.name: "merged" for node in graph.nodes}, name, 3, "merged").to_json()

    def graph_document(self, document: str, name: str) -> Any:
        graph = graph_from(document)
        return picture_of(graph, {}, Path(name).stem, why="no plan can hold it").to_json()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setattr("aimass.client.control.Control", Control)

    def shown(*words: str) -> str:
        terminal.console.cache_clear()
        result = CliRunner().invoke(app, ["graph", *words], catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    return shown


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
