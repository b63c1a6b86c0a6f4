"""``aimass payloads``: what is kept of calls."""

from pathlib import Path
from typing import Annotated, Any

import typer

from aimass.cli import terminal
from aimass.core.errors import Invalid


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: aimass payloads · aimass payloads digits --export digits.parquet · "
        "aimass payloads digits --clean"
    )(payloads)


def payloads(
    service: Annotated[str, typer.Argument(help="Only this service's.")] = "",
    export: Annotated[Path | None, typer.Option(help="Write all of it into this Parquet file.")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Remove all of it, for good.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is kept of calls: days, rows, bytes, and what was dropped. A service's document says what is."""
    from aimass.client.control import Control

    if export is not None and (clean or not service):
        raise Invalid("--export takes one service and goes alone, as in: aimass payloads digits --export d.parquet")
    with Control() as control:
        if export is not None:
            done: Any = {"service": service, "file": str(export), "bytes": control.export_payloads(service, export)}
            done["message"] = f"{done['bytes']:,} bytes of {service} are in {export}"
        elif clean:
            done = control.clean_payloads(service)
        else:
            _show(control.payloads(service), as_json)
            return
    terminal.write_json(done) if as_json else terminal.say(done["message"])


def _show(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        terminal.write_json(found)
        return
    rows = [
        [item["service"], day["day"], day["calls"], day["errors"], day["rows"], terminal.size(day["bytes"])]
        for item in found
        for day in item["days"]
    ]
    empty = "nothing is kept; a service's document says what is, as in payloads: {sample: 0.1}"
    terminal.table(["service", "day", "calls", "errors", "rows", "size"], rows, empty)
    for item in found:
        for said in item["settings"]:
            terminal.say(_kept(item["service"], said))
        for reason, count in item["dropped"].items():
            terminal.say(f"{item['service']}: {terminal.count(count, 'call')} dropped ({_REASONS[reason]})")


_REASONS = {
    "memory": "more came than could be written",
    "disk": "the disk took nothing",
    "rate": "more errors a second than are kept",
    "large": "larger than what is kept of one call",
}


def _kept(service: str, of: dict[str, Any]) -> str:
    said, share = of["payloads"], of["share"]
    who = f"{service} revision {of['revision']} ({f'{share:g} % of the traffic' if share else 'without traffic'})"
    if said is None:
        return f"{who} keeps nothing"
    hidden = [f"{word} {', '.join(said['private'][word])}" for word in ("mask", "encrypt") if said["private"][word]]
    private = f"; private: {'; '.join(hidden)}" if hidden else ""
    what = f"{100 * said['sample']:g} % of the answered calls and every error"
    return f"{who} keeps {what}, for {said['keep_days']:g} days, up to {said['keep_mb']:g} MB{private}"
