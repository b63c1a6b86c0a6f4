"""``aimass status --watch``: desired beside actual, again and again in the same place."""

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from aimass.cli import terminal
from aimass.core.errors import AimassError, Unauthenticated

if TYPE_CHECKING:
    from rich.console import Group

    from aimass.client.control import Control

EVERY_S = 1.0


def watch(as_json: bool) -> None:
    """Until Ctrl-C. A control API that is away for a while is said, and asked again."""
    from aimass.client.control import Control

    with Control() as control:
        try:
            if as_json:
                _write_lines(control)
            elif terminal.console().is_terminal:
                _refresh(control)
            else:
                _print_on(control)
        except KeyboardInterrupt:
            return


def _write_lines(control: "Control") -> None:
    while True:
        sys.stdout.write(json.dumps(_look(control)) + "\n")
        sys.stdout.flush()
        time.sleep(EVERY_S)


def _refresh(control: "Control") -> None:
    from rich.live import Live

    with Live(draw(_look(control)), console=terminal.console(), auto_refresh=False, screen=False) as live:
        while True:
            live.update(draw(_look(control)), refresh=True)
            time.sleep(EVERY_S)


def _print_on(control: "Control") -> None:
    while True:
        terminal.console().print(draw(_look(control)))
        terminal.say()
        time.sleep(EVERY_S)


def _look(control: "Control") -> dict[str, Any]:
    try:
        found: dict[str, Any] = control.desired()
    except Unauthenticated:
        raise
    except AimassError as error:
        return {"at": time.time(), "error": error.message}
    return found


def draw(found: dict[str, Any]) -> "Group":
    """One look as a picture of text."""
    from rich.console import Group
    from rich.text import Text

    head = Text(f"{terminal.when(found['at'])}   Ctrl-C ends this")
    if "error" in found:
        return Group(head, Text(f"The control API does not answer: {found['error']}", style="red"))
    return Group(
        head,
        *[Text(line, style=style) for line, style in _lines(found)],
        Text(),
        _table(found["revisions"]),
        *[Text(f"  {item['service']} is being changed by {item['by']}", style="yellow") for item in found["changing"]],
        *[Text(f"  {terminal.when(item['at'])}  {item['what']}") for item in found["doings"][-8:]],
    )


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What is of the platform as a whole, each line with its colour: green where actual is as desired."""
    desired, gateway, leader = found["state"]["desired"], found["gateway"], found["reconciler"]
    replicas = found["state"]["replicas"]
    behind = [item for item in replicas if item["state"] != desired]
    versions = sorted({item["version"] for item in replicas if item["version"]})
    bounds = f"{gateway['min']}" if gateway["min"] == gateway["max"] else f"{gateway['min']} to {gateway['max']}"
    is_sized = gateway["target"] is not None and gateway["running"] == gateway["target"]
    held = f", led by {leader['leader']} for {leader['led_for_s']:,.0f} s" if leader["leader"] else ", nobody leads"
    of = f"{len(replicas) - len(behind)} of {len(replicas)} replicas have it"
    return [
        (f"state       {desired}: {of}", "green" if replicas and not behind else "yellow"),
        (
            f"gateway     {bounds} replicas wanted, Serve aims at {terminal.text(gateway['target']) or '?'}, "
            f"{gateway['running']} answer{', AI Mass ' + ' and '.join(versions) if versions else ''}",
            "green" if is_sized else "yellow",
        ),
        (
            f"reconciler  {'answers' if leader['answers'] else 'is away'}{held}",
            "green" if leader["answers"] and (leader["lease_left_s"] or 0) > 0 else "yellow",
        ),
    ]


def _table(revisions: list[dict[str, Any]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    if not revisions:
        return Text("No service is deployed.")
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("service", "revision", "is", "weight", "loaded", "asleep", "nodes: running of wanted", "wrong"):
        drawn.add_column(column, overflow="fold")
    for item in revisions:
        unknown = item["loaded"] is None
        loaded = "?" if unknown else f"{item['loaded']} of {item['replicas']}"
        short = any(node["running"] is not None and node["running"] < node["min"] for node in item["nodes"])
        is_whole = not unknown and item["loaded"] == item["replicas"] and not item["wrong"] and not short
        cells = [
            item["service"],
            str(item["revision"]),
            item["is"],
            f"{item['weight']:g} %",
            loaded,
            terminal.text(item["asleep"] or None),
            ", ".join(_node(node) for node in item["nodes"]),
            "; ".join(item["wrong"]),
        ]
        drawn.add_row(*(Text(cell, style="green" if is_whole else "yellow") for cell in cells))
    return drawn


def _node(node: dict[str, Any]) -> str:
    wanted = f"{node['min']}" if node["min"] == node["max"] else f"{node['min']} to {node['max']}"
    return f"{node['node']} {'?' if node['running'] is None else node['running']} of {wanted}"
