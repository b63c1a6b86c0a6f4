"""What the commands write with: tables, steps with their seconds, JSON, one-line errors, pictures in half blocks."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer
    from rich.console import Console

    from aimass.core.batch import Array

WIDTH = 160  # of tables in files and pipes
_SHADES = " ░▒▓█"


def typed(context: "typer.Context", *names: str) -> str:
    """Which of these options were typed, as in ``--steps, --why``."""
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return ", ".join("--" + name.replace("_", "-") for name in given)


@cache
def console() -> "Console":
    """Standard output, with colours where it has them."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)


def say(text: str = "") -> None:
    """A line as it is, without markup."""
    console().print(text, markup=False)


def say_silent(silent: Iterable[str]) -> None:
    """Names the replicas that have not said yet that they took a change."""
    if names := ", ".join(silent):
        say(f"Not acknowledged by {names}; what still runs takes it by itself within seconds: aimass status")


def say_done(done: Mapping[str, Any], as_json: bool) -> None:
    """What a verb came to; see ``control.pushing.Acknowledged``."""
    if as_json:
        write_json(done)
        return
    say(done["message"])
    say_silent(done["silent"])


def complain(message: str) -> None:
    """One line on standard error."""
    from rich.console import Console

    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    errors.print("error: ", style="bold red", end="")
    errors.print(message, markup=False)


def write_json(value: Any) -> None:
    """For scripts: one JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """A plain table; ``empty`` is said when there is nothing to show."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(text(value)) for value in row))
    if drawn.row_count:
        console().print(drawn)
    else:
        say(empty)


def text(value: Any) -> str:
    """A cell: nothing for none, few digits for floats, commas for lists."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(text(item) for item in value)
    return str(value)


def when(seconds: float | None) -> str:
    """A time of day of this machine's zone; empty for none."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""
    except (OverflowError, OSError, ValueError):
        return "beyond the calendar"


def count(number: int, noun: str) -> str:
    """As in ``1 row`` and ``2 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(count_bytes: float) -> str:
    """As in ``512 B``, ``1.5 kB`` and ``2.0 GB``."""
    if count_bytes < 1000:
        return f"{count_bytes:.0f} B"
    for unit in ("kB", "MB"):
        count_bytes /= 1000
        if round(count_bytes, 1) < 1000:
            return f"{count_bytes:.1f} {unit}"
    return f"{count_bytes / 1000:.1f} GB"


@contextmanager
def step(what: str) -> Iterator[None]:
    """A long step: a spinner with its seconds while it runs, a line with them afterwards."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    began = time.monotonic()
    out = console()
    if not out.is_terminal:
        out.print(f"{what} …", markup=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        progress.add_task(what, total=None)
        yield
    out.print(f"[green]✓[/] {what} [dim]{time.monotonic() - began:.1f} s[/]")


def picture_lines(values: "Array") -> list[str]:
    """A grey picture (height, width; any range) as lines of half blocks; of shades where there are no colours."""
    import numpy as np

    low, high = float(values.min()), float(values.max())
    ink = (values.astype(np.float64) - low) / ((high - low) or 1.0)
    if console().color_system is None:
        scale = len(_SHADES) - 1
        return ["".join(_SHADES[round(float(value) * scale)] * 2 for value in row) for row in ink]
    if len(ink) % 2:
        ink = np.vstack([ink, np.zeros((1, ink.shape[1]))])
    grey = (ink * 255).round().astype(int)
    return [
        "".join(f"[rgb({a},{a},{a}) on rgb({b},{b},{b})]▀[/]" for a, b in zip(above, below, strict=True))
        for above, below in zip(grey[::2], grey[1::2], strict=True)
    ]


def beside(picture: Sequence[str], lines: Sequence[str]) -> None:
    """A picture, and text to its right."""
    out = console()
    from rich.text import Text

    drawn = [Text.from_markup(line) for line in picture]
    width = max((line.cell_len for line in drawn), default=0)
    for index in range(max(len(drawn), len(lines))):
        left = drawn[index] if index < len(drawn) else Text("")
        left.pad_right(width + 3 - left.cell_len)
        out.print(left + Text(lines[index] if index < len(lines) else ""))
