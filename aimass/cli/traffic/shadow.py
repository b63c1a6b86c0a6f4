"""``aimass shadow``: what another revision, or another model in a node's place, would have answered."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from aimass.cli import terminal
from aimass.cli.services import Json, Name
from aimass.core.errors import Invalid

Revision = Annotated[int | None, typer.Argument(help="The revision that looks on; none: show the shadows.")]
Node = Annotated[str, typer.Option(help="Compare a model with this node of the revision with the most traffic.")]
Model = Annotated[str, typer.Option(help="MODEL@VERSION or MODEL@ALIAS beside --node.")]
Share = Annotated[float | None, typer.Option(help="Per cent of the service's calls, above 0.")]
Off = Annotated[bool, typer.Option("--off", help="End this shadow; without a revision or node, all of them.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write figures and plots as a page to this file.")]


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: aimass shadow digits 8 --share 10 · "
        "aimass shadow digits --node forest --model digits-forest@4 --share 10 · "
        "aimass shadow digits --html shadows.html · aimass shadow digits 8 --off"
    )(shadow)


def shadow(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    name: Name,
    revision: Revision = None,
    node: Node = "",
    model: Model = "",
    share: Share = None,
    off: Off = False,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Run a share of a service's calls on another revision too, or compare a model with a node; callers wait for
    neither. Without a revision or node, show how the shadows compare."""
    from aimass.client.control import Control

    is_named = revision is not None or bool(node or model)
    if off and share is not None:
        raise Invalid("--off ends a shadow, and --share sets one; give one of them")
    if html is not None and (off or share is not None):
        raise Invalid("--html shows the shadows; leave --off and --share out")
    if is_named and not off and share is None:
        raise Invalid("say how many per cent of the calls, as in: --share 10; or end it with --off")
    if share is not None and not is_named:
        raise Invalid("name the revision that is to look on, or a node and a model; see aimass shadow --help")
    with Control() as control:
        if off:
            done = control.end_shadow(name, revision, node, model)
        elif share is not None:
            done = [control.shadow(name, share, revision, node, model)]
        else:
            _show(control.shadows(name), html, as_json)
            return
    if as_json:
        terminal.write_json(done if off else done[0])
        return
    for item in done:
        terminal.say_done(item, as_json=False)


def _show(found: dict[str, Any], html: Path | None, as_json: bool) -> None:
    if html is not None:
        from aimass.cli.pages.shell import write
        from aimass.cli.traffic.shadow_page import page

        write(html, page(found))
    if as_json:
        terminal.write_json(found)
        return
    columns = ["shadow", "%", "beside", "calls", "dropped", "errors", "rows", "labels agree", "95 %"]
    columns += ["distance", "p95 ≤", "p50 ms ≤", "p95 ms ≤", "CPU ms a row"]
    name = found["service"]
    empty = f"{name} has no shadows; begin one with: aimass shadow {name} REVISION --share 10"
    terminal.table(columns, [_row(item) for item in found["shadows"]], empty)
    for item in found["shadows"]:
        for reason in item["failed"]:
            terminal.say(f"shadow {item['shadow']} cannot be loaded: {reason}")
        if item["reason"]:
            terminal.say(f"shadow {item['shadow']} failed last: {item['reason']}")
    if found["shadows"]:
        terminal.say("times and cost: primary / shadow, of single calls that ran alone on both")
    if html is not None:
        terminal.say(f"wrote {html}")


def _row(item: dict[str, Any]) -> list[Any]:
    beside = None if item["revision"] is None else f"revision {item['revision']}"
    return [
        item["shadow"],
        item["share"] or "ended",
        beside,
        item["calls"],
        [f"{reason}: {count:,}" for reason, count in item["dropped"].items()],
        item["errors"],
        item["rows"],
        percent(item["agreement"]),
        interval(item),
        item["distance_mean"],
        item["distance_p95"],
        _both(item, "p50_ms"),
        _both(item, "p95_ms"),
        _both(item, "cpu_ms_per_row"),
    ]


def percent(part: float | None) -> str:
    """Of a share; empty for none."""
    return "" if part is None else f"{100 * part:.2f} %"


def interval(item: Mapping[str, Any]) -> str:
    """The interval in which the agreement lies."""
    if item["agreement"] is None:
        return ""
    return f"{100 * item['agreement_low']:.2f}-{100 * item['agreement_high']:.2f}"


def _both(item: dict[str, Any], figure: str) -> str:
    pair = [item["alone"][who][figure] for who in ("primary", "shadow")]
    return "" if pair == [None, None] else " / ".join(terminal.text(value) or "?" for value in pair)
