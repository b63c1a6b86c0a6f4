"""``aimass logs``: requests as the replicas logged them."""

from typing import Annotated, Any

import typer

from aimass.cli import terminal


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: aimass logs -f --service digits")(logs)


def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new requests until Ctrl-C.")] = False,
    service: Annotated[str, typer.Option(help="Only this service's.")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many of the past.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show logged requests: a sample of the good ones, every error."""
    import json

    from aimass.client.control import Control

    with Control() as control:
        for event in control.logs(service, follow, lines):
            typer.echo(json.dumps(event) if as_json else line_of(event))


def line_of(event: dict[str, Any]) -> str:
    """One request in one line."""
    revision = f"@{event['revision']}" if event.get("revision") else ""
    total = event.get("us", {}).get("total", 0) / 1000
    parts = [
        terminal.when(event.get("at")),
        str(event.get("status", "")),
        f"{event.get('service') or '-'}{revision}",
        str(event.get("plan") or "-"),
        terminal.count(event.get("rows", 0), "row"),
        f"{total:.2f} ms",
        str(event.get("request_id", "")),
        str(event.get("error", "")),
    ]
    return "  ".join(part for part in parts if part)
