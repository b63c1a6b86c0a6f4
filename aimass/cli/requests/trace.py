"""``aimass trace``: where one request's time went, as bars."""

from typing import Annotated, Any

import typer

from aimass.cli import terminal

BAR = 40  # characters that the whole time takes
_STAGES = (("decode", "read and checked"), ("queue", "waited"), ("run", "ran"), ("encode", "written"))


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: aimass trace 1f3870be0193e8a2c4d00000001")(trace)


def trace(
    request_id: Annotated[str, typer.Argument(help="As in the header x-aimass-request-id of its answer.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where a logged request's time went: reading, waiting, nodes, writing."""
    from aimass.client.control import Control

    with Control() as control:
        record = control.trace(request_id)
    if as_json:
        terminal.write_json(record)
        return
    terminal.say(headline(record))
    for line in bars(record["us"]):
        terminal.say(line)


def headline(record: dict[str, Any]) -> str:
    """Which request it was, and what became of it."""
    revision = f" revision {record['revision']}" if record.get("revision") else ""
    parts = [
        f"{record.get('service') or 'no service'}{revision}",
        record.get("plan") or "",
        f"status {record['status']}",
        terminal.count(record.get("rows") or 0, "row"),
        record.get("protocol") or "",
        terminal.when(record.get("at")),
        f"without {', '.join(record['degraded'])}" if record.get("degraded") else "",
        record.get("error") or "",
    ]
    return ", ".join(part for part in parts if part)


def bars(us: dict[str, Any]) -> list[str]:
    """A line per stage and node, each bar at the place and of the length of its share of the whole time. What no stage
    names (a body on its way, the event loop busy) comes first. Nodes that ran beside each other begin together."""
    total = us["total"] or 1
    rest = max(0, us["total"] - sum(us.get(stage, 0) for stage, _ in _STAGES))
    spans = [("arrive", rest, 0, "on its way in")]
    at = rest
    for stage, what in _STAGES:
        spans.append((stage, us.get(stage, 0), at, what))
        if stage == "run":
            spans += _nodes(us.get("nodes", {}), us.get(stage, 0), at)
        at += us.get(stage, 0)
    width = max(len(name) for name, *_ in spans)
    lines = [_line(name.ljust(width), took, start, total, what) for name, took, start, what in spans]
    return [*lines, f"{'total'.ljust(width)}  {us['total'] / 1e3:9.3f} ms"]


def _nodes(nodes: dict[str, int], run_us: int, at: int) -> list[tuple[str, int, int, str]]:
    """One behind the other where they fit so, else all from the beginning."""
    is_in_turn = sum(nodes.values()) <= 1.05 * run_us + 5
    spans = []
    for name, took in nodes.items():
        spans.append((f"  {name}", took, at, ""))
        at += took if is_in_turn else 0
    return spans


def _line(name: str, took: int, start: int, total: int, what: str) -> str:
    before = min(BAR, round(BAR * start / total))
    bar = "█" * min(BAR - before, round(BAR * took / total))
    if took and not bar:
        bar, before = "▏", min(BAR - 1, before)
    drawn = (" " * before + bar).ljust(BAR)
    return f"{name}  {took / 1e3:9.3f} ms  {drawn}  {what}".rstrip()
