"""A page that needs nothing but itself: its head, its sections, its tables. All text that comes in is escaped."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from aimass.cli.pages.palette import COLOURS
from aimass.core.errors import Invalid


def page(what: str, title: str, parts: Iterable[Markup]) -> str:
    """``what`` it is a page of stands above the title."""
    environment = Environment(
        loader=PackageLoader("aimass.cli.pages", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("shell.html.j2").render(what=what, title=title, parts=parts, colours=COLOURS)


def paragraph(text: str, style: str = "soft") -> Markup:
    """``style``: ``soft``, or the tone that it says something in: ``accent``, ``warns``, ``fails``; or none."""
    return Markup('<p class="{}">{}</p>').format(style, text)


def section(heading: str, *parts: Markup) -> Markup:
    """A card with a heading."""
    return Markup("<section><h2>{}</h2>{}</section>").format(heading, Markup("").join(parts))


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], words: Collection[str] = (), long: Collection[str] = ()
) -> Markup:
    """Figures stand to the right; columns of ``words`` and of ``long`` texts, which break into lines, to the left."""
    styles = ["long" if name in long else "word" if name in words else "" for name in columns]
    lines = [_line("th", styles, columns), *(_line("td", styles, row) for row in rows)]
    return Markup('<div class="scroll"><table>{}</table></div>').format(Markup("").join(lines))


def _line(tag: str, styles: Sequence[str], cells: Sequence[str]) -> Markup:
    cell = Markup('<{tag} class="{style}">{text}</{tag}>')
    filled = (cell.format(tag=tag, style=style, text=text) for style, text in zip(styles, cells, strict=True))
    return Markup("<tr>{}</tr>").format(Markup("").join(filled))


def write(path: Path, text: str) -> None:
    """``Invalid`` says why the file cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Invalid(f"cannot write {path}: {error.strerror}", "html") from None
