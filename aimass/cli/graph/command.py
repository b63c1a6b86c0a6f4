"""``aimass graph``: draws a service's graph in the terminal, or as an SVG."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimass.cli import terminal
from aimass.cli.services import read_document
from aimass.core.errors import Invalid

if TYPE_CHECKING:
    from aimass.graph.drawing.picture import Picture

COLOURS = {"merged": "green", "fused": "blue", "fanout": "yellow"}


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Examples: aimass graph digits · aimass graph service.yaml --svg digits.svg")(graph)


def graph(
    target: Annotated[str, typer.Argument(help="A deployed service's name, or a service.yaml that is not deployed.")],
    svg: Annotated[Path | None, typer.Option("--svg", help="Write an SVG picture to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw a service: its nodes, what runs only when it is needed, and how each node runs."""
    from aimass.client.control import Control
    from aimass.graph.drawing.picture import Picture

    path = Path(target)
    with Control() as control:
        if path.suffix in (".yaml", ".yml") or path.is_file():
            found = control.graph_document(read_document(path), target)
        else:
            found = control.graph(target)
    if as_json:
        terminal.write_json(found)
    picture = Picture.from_json(found)
    if svg is not None:
        _write(picture, svg)
    if not as_json and svg is None:
        _show(picture)


def _write(picture: "Picture", path: Path) -> None:
    from aimass.graph.drawing import svg

    try:
        path.write_text(svg.draw(picture), encoding="utf-8")
    except OSError as error:
        raise Invalid(f"cannot write {path}: {error.strerror}") from None
    terminal.say(f"wrote {path}")


def _show(picture: "Picture") -> None:
    from aimass.graph.drawing import text

    out = terminal.console()
    drawn = text.draw(picture)
    revision = f"revision {picture.revision}" if picture.revision else "not deployed"
    terminal.say(f"{picture.service}: {revision}, {picture.plan or 'no plan'}")
    if picture.why:
        terminal.say(picture.why)
    if out.is_terminal and len(drawn.lines[0]) > out.width:
        terminal.say(f"(the drawing is {len(drawn.lines[0])} characters wide, this terminal {out.width}; try --svg)")
    else:
        _print(drawn)
    terminal.say()
    columns = ["node", "kind", "what", "runs", "reads", "notes"]
    nodes = [box for box in picture.boxes if box.kind not in ("input", "output")]
    terminal.table(columns, [_row(picture, box) for box in nodes], "no nodes")


def _print(drawn: Any) -> None:
    from rich.text import Text

    lines = [Text(line) for line in drawn.lines]
    for row, column, width, box in drawn.spots:
        if box.runs in COLOURS:
            lines[row].stylize(COLOURS[box.runs], column, column + width)
    for line in lines:
        terminal.console().print(line, no_wrap=True, crop=False)


def _row(picture: "Picture", box: Any) -> list[Any]:
    from aimass.graph.drawing.picture import label_of

    reads = []
    for line in picture.lines:
        if line.target == box.key:
            label = label_of(line)
            reads.append(f"{line.source} ({label})" if label else line.source)
    runs = f"{box.runs}, when needed" if box.lazy and box.runs else box.runs
    return [box.name, box.kind, box.what, runs, reads, list(box.notes)]
